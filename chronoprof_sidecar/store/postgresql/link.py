"""One connection to the database that is made anew when it is lost, and transactions over it.

Owns what a failure means. Whatever goes wrong before a transaction is over, nobody knows whether it happened: the
connection is closed and UnavailableError raised, senders repeat what they sent, and the counting rule sorts it out.

A server that waits for its quorum of standbys can be told to stop waiting, by an administrator or by our own time
limit. It then reports success, with a warning: the commit is on its disk and perhaps nowhere else. So a commit counts
only without a warning.

Reading ends with such a commit, too. So what is reported is on a quorum, all that it reports and, since only one server
at a time has a quorum, all that was acknowledged: a server that was replaced and does not know it reports nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
from asyncpg import Connection

from chronoprof_sidecar.errors import ChronoprofError, UnavailableError
from chronoprof_sidecar.store.postgresql.connecting import connect

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 2
_CLOSE_SECONDS: Final = 1.0
_FAILURES: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_CONFIRM: Final = "SELECT pg_logical_emit_message(true, 'chronoprof', '')"
"""Puts a few bytes into the log, for a commit to wait for the quorum: what only reads would not."""


class UncertainCommitError(Exception):
    """The server committed but did not wait for its quorum."""


class Link:
    """One connection at a time, for one transaction at a time."""

    def __init__(
        self,
        dsn: str,
        *,
        name: str,
        prepare: Callable[[Connection], Awaitable[None]] | None = None,
        after: "Link | None" = None,
    ) -> None:
        """Connect at the first transaction.

        Args:
            dsn: the database's URL.
            name: what the link is for; the log tells it.
            prepare: run with each new connection.
            after: another link; when that has lost its connection, this one does not trust its own either.
        """
        self._dsn = dsn
        self._name = name
        self._prepare = prepare
        self._after = after
        self._after_lost = 0
        self.lost = 0
        """How often a connection was lost, or given up."""
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
        """Run a transaction that sees the database as of one instant, and changes nothing; its quorum confirms it.

        Raises:
            UnavailableError: as `transaction`.
        """
        async with self.transaction(seconds, "ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield connection
            await connection.execute(_CONFIRM)

    async def close(self) -> None:
        """Let go of the connection once the transaction under way is over."""
        async with self._turn:
            await self._drop()

    async def _connected(self) -> Connection:
        if self._after is not None and self._after_lost != self._after.lost:
            self._after_lost = self._after.lost
            if self._connection is not None:
                self._connection.terminate()
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
        self.lost += 1
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
