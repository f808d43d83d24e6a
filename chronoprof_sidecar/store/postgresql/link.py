"""One connection to the database that is made anew when it is lost, and transactions over it.

Owns what a failure means. Whatever goes wrong before a transaction is over, nobody knows whether it happened: the
connection is closed and UnavailableError raised, senders repeat what they sent, and the counting rule sorts it out.

A server that waits for its quorum of standbys can be told to stop waiting, by an administrator or by our own time
limit. It then reports success, with a warning: the commit is on its disk and perhaps nowhere else. So a commit counts
only without a warning.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
from asyncpg import Connection

from chronoprof_sidecar.errors import ChronoprofError, UnavailableError
from chronoprof_sidecar.store.postgresql.migrations import SCHEMA

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 2
CONNECT_SECONDS: Final = 1.5
"""For each of the hosts in turn: the third of three is reached while a batch waits, though two are frozen."""
_CLOSE_SECONDS: Final = 1.0
_FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_SERVER_SETTINGS: Final = {
    "application_name": "chronoprof-sidecar",
    "search_path": SCHEMA,
    "synchronous_commit": "on",
    "idle_in_transaction_session_timeout": "15s",  # a replica that freezes must not hold its locks for ever
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "jit": "off",  # it takes longer to compile these statements than to run them
}


class UncertainCommitError(Exception):
    """The server committed but did not wait for its quorum."""


async def connect(dsn: str) -> Connection:
    """Return a new connection to the host that takes writes.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError: there is none.
    """
    # A URL that says for itself which host it wants is obeyed: asyncpg prefers the argument, so it gets none then.
    wanted = {} if "target_session_attrs=" in dsn else {"target_session_attrs": "read-write"}
    *others, last = _single_hosts(dsn)
    for each in others:
        with suppress(*_FAILURES):
            return await asyncpg.connect(each, timeout=CONNECT_SECONDS, server_settings=_SERVER_SETTINGS, **wanted)
    return await asyncpg.connect(last, timeout=CONNECT_SECONDS, server_settings=_SERVER_SETTINGS, **wanted)


def _single_hosts(dsn: str) -> list[str]:
    """Return a URL per host: asyncpg has one time limit for all, which the first that is frozen would use up."""
    scheme, _, rest = dsn.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "?" in authority:
        return [dsn]
    return [f"{scheme}://{user}{at}{host}{slash}{path}" for host in hosts.split(",")]


class Link:
    """One connection at a time, for one transaction at a time."""

    def __init__(self, dsn: str, *, name: str, prepare: Callable[[Connection], Awaitable[None]] | None = None) -> None:
        """Connect at the first transaction.

        Args:
            dsn: the database's URL.
            name: what the link is for; the log tells it.
            prepare: run with each new connection.
        """
        self._dsn = dsn
        self._name = name
        self._prepare = prepare
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._warnings: list[str] = []
        self.away: str | None = None
        """Why the last transaction failed; None when it did not. Names no host and no user: anybody may read it."""

    @asynccontextmanager
    async def transaction(self, seconds: float, mode: str = "") -> AsyncIterator[Connection]:
        """Run a transaction of at most so many seconds, and commit it.

        A ChronoprofError that is raised inside rolls it back and goes on to the caller.

        Raises:
            UnavailableError: the database is away, has no quorum, or refuses; it may have happened, or not.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    connection = await self._connected()
                    await connection.execute(f"BEGIN {mode}")
                    try:
                        yield connection
                    except ChronoprofError:
                        await connection.execute("ROLLBACK")
                        raise
                    await self._commit(connection)
            except ChronoprofError:
                raise
            except (*_FAILURES, UncertainCommitError) as error:
                await self._drop()
                raise UnavailableError(self._note_failure(error), RETRY_AFTER_SECONDS) from error
            except BaseException:
                await self._drop()
                raise
            self._note_success()

    @asynccontextmanager
    async def reading(self, seconds: float) -> AsyncIterator[Connection]:
        """Run a transaction that sees the database as of one instant, and changes nothing.

        Raises:
            UnavailableError: as `transaction`.
        """
        async with self.transaction(seconds, "ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield connection

    async def close(self) -> None:
        """Let go of the connection once the transaction under way is over."""
        async with self._turn:
            await self._drop()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            connection = await connect(self._dsn)
            self._connection = connection
            connection.add_log_listener(self._note_message)
            if self._prepare is not None:
                await self._prepare(connection)
        return self._connection

    async def _commit(self, connection: Connection) -> None:
        self._warnings.clear()
        done = await connection.execute("COMMIT")
        if self._warnings or done != "COMMIT":
            raise UncertainCommitError("; ".join(self._warnings) or done)

    def _note_message(self, _connection: Connection, message: Any) -> None:
        # By its severity in English, which the server sends beside the translated one.
        if message.severity_en == "WARNING":
            self._warnings.append(message.message)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not terminate(): closing waits until the server was told to stop waiting, and so to let go of its locks.
            with suppress(Exception):
                await connection.close(timeout=_CLOSE_SECONDS)

    def _note_failure(self, error: BaseException) -> str:
        if self.away is None:
            logger.error("the database is away for %s: %s: %s", self._name, type(error).__name__, error)
        self.away = _reason(error)
        return self.away

    def _note_success(self) -> None:
        if self.away is not None:
            logger.info("the database is back for %s", self._name)
        self.away = None


def _reason(error: BaseException) -> str:
    if isinstance(error, UncertainCommitError):
        return "the database stopped waiting for its quorum of standbys"
    if isinstance(error, TimeoutError):
        return "the database, or its quorum of standbys, did not answer in time"
    if isinstance(error, OSError):
        return "the database cannot be reached"
    if isinstance(error, asyncpg.PostgresError):
        return f"the database refuses (SQLSTATE {error.sqlstate})"
    return "the database's connection broke"
