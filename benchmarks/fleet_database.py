"""A PostgreSQL server on loopback and what it costs: CPU of all its processes, bytes that it wrote, transactions."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import asyncpg

from benchmarks.processes import family_cpu_seconds
from chronoprof_sidecar.store.postgresql.migrations import SCHEMA
from chronoprof_sidecar.store.postgresql.rows import MINUTE, MOVE_ROWS_TO_HOUR
from tests.store.server import PostgresqlServer, running_server

_SETTINGS: Final = {"fsync": "on", "max_connections": "100"}
_COUNTERS: Final = (
    "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, pg_database_size(current_database()),"
    " pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
)
_OTHERS: Final = (
    "function_name, service, version, shard, errors, total_ns, min_ns, max_ns, first_seen_ns, last_seen_ns, buckets,"
    " counts"
)
_COPY_MINUTE: Final = f"""
    INSERT INTO rows SELECT kind, target, {_OTHERS} FROM rows,
        generate_series($2::bigint - $3::bigint, $2::bigint - 1) AS target WHERE kind = $1 AND span = $2
"""
_COPY_NEWEST: Final = f"""
    INSERT INTO rows SELECT kind, span + 1, {_OTHERS} FROM rows
    WHERE kind = $1 AND span = (SELECT max(span) FROM rows WHERE kind = $1)
"""
_KEEP_MINUTES: Final = """
    INSERT INTO stretches (kind, number, first_minute, end_minute)
    SELECT $1, minute, minute, minute + 1 FROM generate_series($2::bigint - $3::bigint, $2::bigint - 1) AS minute
"""
_OLDEST: Final = "SELECT min(span) FROM rows WHERE kind = $1"
_NEWEST: Final = "SELECT max(span) FROM rows WHERE kind = $1"


@dataclass(frozen=True)
class Counters:
    """What a server has used so far, or between two moments."""

    cpu_seconds: float
    wal_bytes: int
    disk_bytes: int
    """Of the database, its indexes and what is dead in it."""
    transactions: int
    """Those that wrote."""

    def __sub__(self, earlier: "Counters") -> "Counters":
        return Counters(
            self.cpu_seconds - earlier.cpu_seconds,
            self.wal_bytes - earlier.wal_bytes,
            self.disk_bytes - earlier.disk_bytes,
            self.transactions - earlier.transactions,
        )


class Database:
    """One database of a server that runs nothing else meanwhile."""

    def __init__(self, server: PostgresqlServer, name: str, runner: asyncio.Runner) -> None:
        self._server = server
        self._runner = runner
        self.url = server.url(name)
        # One connection for all questions: making one costs as much as a small case.
        self._connection = runner.run(_connect(self.url))

    def close(self) -> None:
        """Let go of the database."""
        self._runner.run(self._connection.close())

    def counters(self) -> Counters:
        """Return what the server has used so far."""
        wal, disk, transactions = self._run(_COUNTERS)
        return Counters(family_cpu_seconds(self._server.pid), int(wal), disk, transactions)

    def lengthen_history(self, minutes: int) -> None:
        """Have the newest minute's rows also in so many minutes before it."""
        newest = self._run(_NEWEST, MINUTE)[0]
        for statement in (_COPY_MINUTE, _KEEP_MINUTES):
            self._run(statement, MINUTE, newest, minutes)
        self._run("VACUUM ANALYZE rows")

    def age_minute(self) -> None:
        """Move the oldest minute to its hour, as the upkeep does."""
        oldest = self._run(_OLDEST, MINUTE)[0]
        self._run(MOVE_ROWS_TO_HOUR, oldest, oldest // 60)

    def erase_minute(self) -> None:
        """Delete the oldest minute: what dropping a partition would save."""
        self._run("DELETE FROM rows WHERE kind = $1 AND span = (SELECT min(span) FROM rows WHERE kind = $1)", MINUTE)

    def next_minute(self) -> None:
        """Have the newest minute's rows also in the minute after it."""
        self._run(_COPY_NEWEST, MINUTE)

    def vacuum(self) -> None:
        """Do what autovacuum does once a fifth of a table is dead."""
        self._run("VACUUM rows")

    def _run(self, statement: str, *values: Any) -> Any:
        return self._runner.run(_fetch(self._connection, statement, values))


class Databases:
    """Makes databases on one server, one for each case."""

    def __init__(self, server: PostgresqlServer, runner: asyncio.Runner) -> None:
        self._server = server
        self._runner = runner
        self._numbers = count(1)

    @contextmanager
    def new(self) -> Iterator[Database]:
        """Make an empty one, and let go of it at the end."""
        name = f"bench_{next(self._numbers)}"
        self._runner.run(_make(self._server.url(), name))
        database = Database(self._server, name, self._runner)
        try:
            yield database
        finally:
            database.close()


async def _connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, server_settings={"search_path": SCHEMA, "jit": "off"})


async def _make(url: str, name: str) -> None:
    connection = await _connect(url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


async def _fetch(connection: asyncpg.Connection, statement: str, values: tuple[Any, ...]) -> Any:
    return await connection.fetchrow(statement, *values)


@contextmanager
def running_databases() -> Iterator[Databases]:
    """Run a server that syncs, as in production, and stop it at the end."""
    with running_server(_SETTINGS) as server, asyncio.Runner() as runner:
        yield Databases(server, runner)
