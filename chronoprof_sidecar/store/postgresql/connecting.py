"""Which server to talk to: of a URL's hosts the one that takes writes, and of two that do, the one promoted last.

An old primary that was frozen or cut off while a standby took its place does not know of it. It still takes writes,
which no quorum ever confirms, and it may be the first host of the URL. Each promotion begins a new timeline, so the
higher one tells who is the successor.
"""

import asyncio
from functools import partial
from typing import Final

import asyncpg
from asyncpg import Connection

from chronoprof_sidecar.store.postgresql.migrations import SCHEMA

CONNECT_SECONDS: Final = 1.5
"""For all hosts, asked at once: the frozen among them leave time to commit while a batch waits."""
_SERVER_SETTINGS: Final = {
    "application_name": "chronoprof-sidecar",
    "search_path": SCHEMA,
    "synchronous_commit": "on",
    # As long as a batch waits: a replica that freezes, or is cut off, holds up others whose senders it holds.
    "idle_in_transaction_session_timeout": "5s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "jit": "off",  # it takes longer to compile these statements than to run them
}
_TIMELINE: Final = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END"

Found = tuple[int, Connection]
"""A timeline, and a connection to a server that is on it."""


async def connect(dsn: str) -> Connection:
    """Return a new connection to the host that takes writes.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError: there is none.
    """
    attempts = [asyncio.ensure_future(_try(each)) for each in _single_hosts(dsn)]
    chosen: Connection | None = None
    try:
        await asyncio.wait(attempts)
        found = [attempt.result() for attempt in attempts if attempt.exception() is None]
        _, chosen = max(found or [attempts[-1].result()], key=lambda each: each[0])
        return chosen
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(partial(_let_go, chosen))


async def _try(host: str) -> Found:
    # A URL that says for itself which host it wants is obeyed: asyncpg prefers the argument, so it gets none then.
    wanted = {} if "target_session_attrs=" in host else {"target_session_attrs": "read-write"}
    async with asyncio.timeout(CONNECT_SECONDS):
        connection = await asyncpg.connect(host, server_settings=_SERVER_SETTINGS, **wanted)
        try:
            return int(await connection.fetchval(_TIMELINE) or "0", 16), connection
        except BaseException:
            connection.terminate()
            raise


def _let_go(chosen: Connection | None, attempt: "asyncio.Future[Found]") -> None:
    """End what an attempt has found and nobody wants."""
    if attempt.cancelled() or attempt.exception() is not None:
        return
    _, connection = attempt.result()
    if connection is not chosen:
        connection.terminate()


def _single_hosts(dsn: str) -> list[str]:
    """Return a URL per host: asyncpg would ask them one after the other, and be content with the first."""
    scheme, _, rest = dsn.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "?" in authority:
        return [dsn]
    return [f"{scheme}://{user}{at}{host}{slash}{path}" for host in hosts.split(",")]
