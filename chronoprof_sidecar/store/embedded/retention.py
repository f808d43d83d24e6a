"""Retention: minutes become hours, hours are erased, in small transactions; sums follow in their wake.

A minute that is no longer kept is added to its hour in the transaction that erases it, row by row, so every call is in
exactly one of the two at every moment:

    crash before a slice commits   its rows are still minutes
    crash after it                 its rows are in the hour; what is left of the minute follows after the start

An hour is no longer kept from the first of its rows that goes, so nobody takes what is left of it for the whole.

Replay looks for minutes, never for hours. So nothing may leave a minute while the journal has entries that the minute
counts already: slices are written between checkpoints only, and none before the first of this process.
"""

import logging
from collections.abc import Callable
from typing import Final

from chronoprof_sidecar.domain.history import HOUR_MINUTES
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.store.embedded.addition import Figures, add_rows, decode_row
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.hours import Hours
from chronoprof_sidecar.store.embedded.minutes import Minutes
from chronoprof_sidecar.store.embedded.records import (
    HOUR,
    HOUR_LOSSES,
    HOUR_SUM,
    MINUTE,
    MINUTE_LOSSES,
    DamagedRecordError,
    Slot,
)
from chronoprof_sidecar.store.embedded.sums import Sums, erase_sums
from chronoprof_sidecar.store.embedded.threads import Confined

logger = logging.getLogger(__name__)

ADDED_ROWS: Final = 200
"""Rows added to an hour in one transaction."""
ERASED_ROWS: Final = 500
"""Rows of an hour erased in one transaction."""
LEAST_MINUTES: Final = 60
"""Minutes that a full history keeps while it has hours to erase: who looks into an incident needs them more."""


class Retention:
    """Knows which minutes and hours are kept, and brings the stored rows to that, slice by slice."""

    def __init__(  # noqa: PLR0913  two lists of what is kept, and where
        self,
        database: Confined[Database],
        minutes: Minutes,
        hours: Hours,
        sums: Sums,
        *,
        erasing: int | None,
        max_bytes: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self.minutes = minutes
        self.hours = hours
        self._sums = sums
        self._database = database
        self._max_bytes = max_bytes
        self._clock_ns = clock_ns
        self._readers = 0
        self._pending = False
        self._adding: int | None = None
        """A minute of which some rows are in its hour already: the rest follows, whatever is due then."""
        self._erasing = erasing
        """An hour of which some rows are erased already: nobody reads what is left, and nothing is added to it."""

    @property
    def due(self) -> bool:
        """Whether there may be something to do; not while somebody reads."""
        return (self._pending or self._sums.due) and not self._readers

    def note_written(self, minutes: list[int]) -> None:
        """Note that a checkpoint has written these minutes, and cut the journal."""
        self.minutes.note(minutes)
        self._sums.note_written(minutes)
        self._pending = True

    def note_erased(self) -> None:
        """Note that all minutes and hours were erased."""
        self.minutes.clear()
        self.hours.clear()
        self._sums.clear()
        self._adding = self._erasing = None

    def stored_hours(self) -> list[int]:
        """Return every hour that rows are stored of, whether or not it is kept."""
        hours = [hour for hour, _ in self.hours.spans()]
        return hours if self._erasing is None else [*hours, self._erasing]

    def for_a_restart(self) -> dict[str, int | str]:
        """Return what a restart is to know of what is kept."""
        erasing = "" if self._erasing is None else self._erasing
        return {"minutes": str(self.minutes), "hours": str(self.hours), "erasing_hour": erasing}

    def hold(self) -> None:
        """Leave minutes and hours where they are until `release`: somebody reads one after the other."""
        self._readers += 1

    def release(self) -> None:
        """Go on."""
        self._readers -= 1

    async def step(self) -> list[Slot]:
        """Write one slice, and return the slots whose records were damaged.

        Raises:
            UnavailableError, UnknownOutcomeError: as `Database.transaction`.
        """
        if not self._pending:
            await self._sums.step()
            return []
        full = await self._database.run(Database.used_bytes) > self._max_bytes
        if self._readers:
            return []  # somebody has begun meanwhile
        if self._erasing is None:
            minute = self._minute_to_add(full=full)
            if minute is not None:
                return await self._add(minute)
            self._erasing = self._hour_to_erase(full=full)
        if self._erasing is not None:
            await self._erase(self._erasing)
        else:
            self._pending = False
        return []

    def _minute_to_add(self, *, full: bool) -> int | None:
        if self._adding is not None:
            return self._adding
        if full and len(self.minutes) > (LEAST_MINUTES if len(self.hours) > 1 else 1):
            return self.minutes.oldest()
        return self.minutes.expired()

    def _hour_to_erase(self, *, full: bool) -> int | None:
        return self.hours.oldest() if full and len(self.hours) > 1 else self.hours.expired()

    async def _add(self, minute: int) -> list[Slot]:
        self.hours.add(minute)  # before the slice is written: whoever reads after it must look there, too
        more, damaged = await self._database.run(_add_to_hour, minute, str(self.hours), self._clock_ns())
        self._sums.note_aged(minute, minute // HOUR_MINUTES)
        self._adding = minute if more else None
        if not more:
            self.minutes.forget(minute)
        return damaged

    async def _erase(self, hour: int) -> None:
        self._sums.note_erased(hour)
        self.hours.forget(hour)  # before the slice is written: whoever reads after it must not look there
        if not await self._database.run(_erase_hour, hour, str(self.hours)):
            self._erasing = None


def _add_to_hour(database: Database, minute: int, hours: str, now_ns: int) -> tuple[bool, list[Slot]]:
    """Add some rows of a minute to its hour; return whether there may be more, and the damaged slots."""
    damaged: list[Slot] = []
    added: list[tuple[Slot, Figures]] = []
    with database.transaction():
        rows = [
            row for kind in (MINUTE, MINUTE_LOSSES) for row in database.load_some_rows(kind, minute, limit=ADDED_ROWS)
        ][:ADDED_ROWS]
        for slot, record in rows:
            target = slot._replace(kind=HOUR if slot.kind == MINUTE else HOUR_LOSSES, span=minute // HOUR_MINUTES)
            try:
                added.append((target, decode_row(slot, record)[1]))
            except DamagedRecordError:
                damaged.append(slot)
                database.keep_damaged(now_ns, "rows", slot, record)
                added.append((target._replace(kind=HOUR_LOSSES, version="", function_name=""), Losses(set_aside=1)))
        damaged += add_rows(database, added, 0, now_ns)
        erase_sums(database, (slot for slot, _ in rows))
        database.erase_rows_at(slot for slot, _ in rows)
        database.write_meta(hours=hours)
    return len(rows) == ADDED_ROWS, damaged


def _erase_hour(database: Database, hour: int, hours: str) -> bool:
    """Erase some rows of an hour that is not among `hours` any more; return whether there may be more."""
    with database.transaction():
        kinds = (HOUR, HOUR_LOSSES, HOUR_SUM)
        some = [database.erase_some_rows(kind, range(hour, hour + 1), ERASED_ROWS) for kind in kinds]
        more = max(some) == ERASED_ROWS
        database.write_meta(hours=hours, erasing_hour=hour if more else "")
    return more
