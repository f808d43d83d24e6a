"""Opening a fleet store: the database's schema, then all parts put together."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from asyncpg import Connection

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.clocks import ServiceClock
from chronoprof_sidecar.store.overflow import OverflowLog
from chronoprof_sidecar.store.postgresql.connecting import connect
from chronoprof_sidecar.store.postgresql.link import Link
from chronoprof_sidecar.store.postgresql.merging import Merger
from chronoprof_sidecar.store.postgresql.migrations import migrate
from chronoprof_sidecar.store.postgresql.store import PostgresqlStore
from chronoprof_sidecar.store.postgresql.upkeep import Upkeep
from chronoprof_sidecar.store.queue import JobQueue
from chronoprof_sidecar.store.save_rules import SaveLimits


async def open_store(
    settings: Settings,
    *,
    clock_ns: Callable[[], int] = time.time_ns,
    monotonic: Callable[[], float] = time.monotonic,
) -> PostgresqlStore:
    """Open the store in the database of `settings.store`, making its schema if there is none.

    Args:
        settings: which database and which bounds.
        clock_ns: Unix time in nanoseconds.
        monotonic: seconds of a clock that never jumps.

    Raises:
        StoreError: the database cannot be used; the message says why and holds no password.
    """
    dsn = settings.store
    service_clock = ServiceClock(await prepare(dsn, clock_ns()), monotonic)
    merger = Merger(
        dsn,
        max_functions=settings.max_functions,
        max_senders=settings.max_senders,
        overflow_log=OverflowLog(settings.max_functions, monotonic),
        clock_ns=clock_ns,
        service_clock=service_clock,
    )
    tender = Link(dsn, name="upkeep", after=merger.link)
    return PostgresqlStore(
        queue=JobQueue(settings.max_queue_bytes),
        merger=merger,
        upkeep=Upkeep(tender, service_clock),
        reader=Link(dsn, name="answers", after=merger.link),
        historian=Link(dsn, name="the history", after=merger.link),
        saver=Link(dsn, name="saves", after=merger.link),
        tender=tender,
        save_limits=SaveLimits(settings.max_saves, settings.max_saves_bytes, settings.keep_saves),
        max_functions=settings.max_functions,
        clock_ns=clock_ns,
    )


async def prepare(dsn: str, now_ns: int) -> int:
    """Make the schema if it is not there, and return the service minute that it has come to.

    Raises:
        StoreError: as `open_store`.
    """
    async with connected(dsn) as connection:
        await migrate(connection, now_ns)
        minute: int = await connection.fetchval("SELECT minute FROM service_time")
    return minute


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Lend a connection.

    Raises:
        StoreError: the database cannot be reached, or refuses; the message says why and holds no password.
    """
    try:
        connection = await connect(dsn)
        try:
            yield connection
        finally:
            await connection.close()
    except ValueError:  # asyncpg's words may quote a part of the URL, which may be of the password
        raise StoreError("CHRONOPROF_STORE is no URL of a PostgreSQL database") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise StoreError(f"cannot use the database of CHRONOPROF_STORE: {error or type(error).__name__}") from error
