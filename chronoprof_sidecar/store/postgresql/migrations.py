"""Bringing the database to the schema of this release: once, whichever replica comes first."""

from pathlib import Path
from typing import Final

from asyncpg import Connection

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.postgresql.locks import MIGRATION, lock

SCHEMA: Final = "chronoprof"
VERSION: Final = 1
_SCHEMA_SQL: Final = Path(__file__).with_name("schema.sql")


async def migrate(connection: Connection, now_ns: int) -> None:
    """Make the schema if it is not there; a database that has it is only looked at, which takes no right to change it.

    Raises:
        StoreError: the schema is a newer release's; nothing was changed.
    """
    if await read_version(connection) == VERSION:
        return
    async with connection.transaction():
        await lock(connection, MIGRATION)
        if not await read_version(connection):
            await _create(connection, now_ns)


async def read_version(connection: Connection) -> int:
    """Return the version of the schema; 0 when there is none.

    Raises:
        StoreError: it is a newer release's.
    """
    # From the catalog's tables: to_regclass() may still answer what it knew before the lock was waited for.
    if not await connection.fetchval(
        "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_version')", SCHEMA
    ):
        return 0
    version: int = await connection.fetchval("SELECT version FROM schema_version")
    if version > VERSION:
        raise StoreError(f"the database's schema has version {version}: a newer release wrote it")
    return version


async def _create(connection: Connection, now_ns: int) -> None:
    # Not IF NOT EXISTS: that asks for the right to make schemas even where an administrator has made this one.
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", SCHEMA):
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await connection.execute(_SCHEMA_SQL.read_text())
    await connection.execute("INSERT INTO current_window (generation, start_ns) VALUES (1, $1)", now_ns)
