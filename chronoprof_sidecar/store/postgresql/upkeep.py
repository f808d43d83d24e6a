"""Upkeep, by one replica at a time: service time, forgetting senders, erasing old windows, ageing the history.

Minutes become hours and hours are erased by the numbers that the embedded store keeps. Each step is a transaction of
its own. A minute leaves for its hour in one of them, so every call is in exactly one of the two at every moment.
"""

import asyncio
from typing import Final

from asyncpg import Connection

from chronoprof_sidecar.domain.history import HOUR_MINUTES
from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.store.clocks import ServiceClock
from chronoprof_sidecar.store.postgresql.link import Link
from chronoprof_sidecar.store.postgresql.locks import UPKEEP, try_lock
from chronoprof_sidecar.store.postgresql.rows import HOUR, MINUTE, MOVE_LOSSES_TO_HOUR, MOVE_ROWS_TO_HOUR, WINDOW
from chronoprof_sidecar.store.postgresql.senders import forget

KEPT_MINUTES: Final = 1440
"""Minutes of history that hold data."""
KEPT_HOURS: Final = 720
"""Hours of history that hold data."""
EVERY_SECONDS: Final = 20.0
STEP_SECONDS: Final = 60.0
_ERASED_AT_ONCE: Final = 5000


class Upkeep:
    """Does what is due, every now and then, until it is told to end."""

    def __init__(self, link: Link, service_clock: ServiceClock) -> None:
        self._link = link
        self._service_clock = service_clock
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Have `run` return after one more round."""
        self._ending.set()

    async def run(self) -> None:
        """Do a round now, at intervals, and at the end."""
        while not self._ending.is_set():
            await self._round()
            try:
                async with asyncio.timeout(EVERY_SECONDS):
                    await self._ending.wait()
            except TimeoutError:
                continue
        await self._round()

    async def _round(self) -> None:
        try:
            while await self._step():
                pass
        except UnavailableError:
            return  # the link has told it; the next round, or another replica, goes on from here

    async def _step(self) -> bool:
        """Do a small thing; return whether there may be more to do at once."""
        async with self._link.transaction(STEP_SECONDS) as connection:
            if not await try_lock(connection, UPKEEP):
                return False
            minute = self._service_clock.minute()
            await connection.execute("UPDATE service_time SET minute = $1 WHERE minute < $1", minute)
            await forget(connection, minute)
            return await _erase_windows(connection) or await _age_minute(connection) or await _erase_hour(connection)


async def _erase_windows(connection: Connection) -> bool:
    """Erase some of what older windows counted, which nobody reads any more."""
    generation: int = await connection.fetchval("SELECT generation FROM current_window")
    await connection.execute("DELETE FROM names WHERE generation < $1", generation)
    await connection.execute("DELETE FROM losses WHERE kind = $1 AND span < $2", WINDOW, generation)
    erased: str = await connection.execute(
        "DELETE FROM rows WHERE ctid IN (SELECT ctid FROM rows WHERE kind = $1 AND span < $2 LIMIT $3)",
        WINDOW,
        generation,
        _ERASED_AT_ONCE,
    )
    return erased == f"DELETE {_ERASED_AT_ONCE}"


async def _age_minute(connection: Connection) -> bool:
    """Add the oldest minute to its hour if there are more than are kept; return whether there was one."""
    minute = await _take_oldest(connection, MINUTE, KEPT_MINUTES)
    if minute is None:
        return False
    hour = minute // HOUR_MINUTES
    await connection.execute(
        "INSERT INTO stretches AS stored (kind, number, first_minute, end_minute)"
        " VALUES ($1, $2, $3::bigint, $3::bigint + 1)"
        " ON CONFLICT (kind, number) DO UPDATE SET first_minute = least(stored.first_minute, excluded.first_minute),"
        " end_minute = greatest(stored.end_minute, excluded.end_minute)",
        HOUR,
        hour,
        minute,
    )
    for move in (MOVE_ROWS_TO_HOUR, MOVE_LOSSES_TO_HOUR):
        await connection.execute(move, minute, hour)
    return True


async def _erase_hour(connection: Connection) -> bool:
    """Erase the oldest hour if there are more than are kept; return whether there was one."""
    hour = await _take_oldest(connection, HOUR, KEPT_HOURS)
    if hour is None:
        return False
    for table in ("rows", "losses"):
        await connection.execute(f"DELETE FROM {table} WHERE kind = $1 AND span = $2", HOUR, hour)
    return True


async def _take_oldest(connection: Connection, kind: int, kept: int) -> int | None:
    """Keep the oldest stretch of a kind no longer, and return its number; None when there are no more than are kept.

    Imported ones have the position of the next that is later, so where it is the same the number decides.

    Waits for whoever is counting in it: what they add is there for the statements that follow.
    """
    number: int | None = await connection.fetchval(
        "DELETE FROM stretches WHERE (SELECT count(*) FROM stretches WHERE kind = $1) > $2 AND kind = $1 AND number ="
        " (SELECT number FROM stretches WHERE kind = $1 ORDER BY position, number LIMIT 1) RETURNING number",
        kind,
        kept,
    )
    return number
