"""Advisory locks: what replicas do one at a time where no row stands for it."""

from typing import Final

from asyncpg import Connection

_OURS: Final = 0x6368726F
"""The first of each lock's two numbers, `chro` in ASCII: others may take locks in the same database."""
_SHARDS: Final = 0x63687273

MIGRATION: Final = 1
ADMISSION: Final = 2
UPKEEP: Final = 3

_MAX_SHARDS: Final = 1024
_CUT_OFF_SILENT: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
        AND application_name = current_setting('application_name')
        AND wait_event = 'ClientRead' AND state <> 'idle' AND state_change < now() - interval '5 seconds'
"""


async def lock(connection: Connection, number: int) -> None:
    """Wait for a lock, and hold it until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", _OURS, number)


async def try_lock(connection: Connection, number: int) -> bool:
    """Take a lock until the transaction ends, unless another replica holds it."""
    taken: bool = await connection.fetchval("SELECT pg_try_advisory_xact_lock($1, $2)", _OURS, number)
    return taken


async def take_shard(connection: Connection) -> int:
    """Return the lowest shard that no other connection has; it is this one's for as long as it lives.

    Two replicas in one shard would still count right, only wait for each other: so beyond the last, 0 will do.
    """
    shard: int | None = await connection.fetchval(
        "SELECT shard FROM generate_series(0, $2 - 1) AS shard WHERE pg_try_advisory_lock($1, shard) LIMIT 1",
        _SHARDS,
        _MAX_SHARDS,
    )
    return shard or 0


async def cut_off_silent(connection: Connection) -> None:
    """End the transactions of replicas that were not heard of for as long as any batch waits.

    The server's own time limit is for those that are idle. One whose message arrived in part, or without its end, when
    its replica froze or was cut off, would hold the senders of its batches, and so whoever counts for them, for ever.
    """
    await connection.execute(_CUT_OFF_SILENT)
