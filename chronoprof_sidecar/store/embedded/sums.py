"""Sums: all functions of a minute or an hour in one record, so that who asks for no function need not read each.

A sum repeats what rows say and nothing else: it is written once nothing is being added to its minute or hour any more,
and the transaction that changes a row erases the sum of it (`erase_sums`). So a sum that is there is right, at every
moment and after every crash; where there is none, because it is not written yet, or is damaged, or the database is of
a release that wrote none, the rows are read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from chronoprof_sidecar.domain.batch import Labels
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.hours import Hours
from chronoprof_sidecar.store.embedded.leftovers import Stretch
from chronoprof_sidecar.store.embedded.minutes import Minutes
from chronoprof_sidecar.store.embedded.records import (
    HOUR,
    MINUTE,
    SUM_OF,
    DamagedRecordError,
    Slot,
    decode_statistics,
    encode_sums,
    is_whole,
)
from chronoprof_sidecar.store.embedded.threads import Confined

SUMMED_ROWS: Final = 100
"""Rows merged at once: some 3 ms, 10 where each has 800 buckets."""


@dataclass(slots=True)
class Sum:
    """One sum under way."""

    stretch: Stretch
    by_labels: dict[Labels, FunctionStatistics] = field(default_factory=dict)
    after: Slot | None = None
    """The last row that it counts."""


class Sums:
    """Knows of which minutes and hours there is no sum yet, and makes them, the newest first, slice by slice."""

    def __init__(self, database: Confined[Database], minutes: Minutes, hours: Hours) -> None:
        """Take over what is kept.

        Args:
            database: where rows and sums are stored.
            minutes: those that are kept, as they change.
            hours: the same.
        """
        self._database = database
        self._minutes = minutes
        self._hours = hours
        self._missing: dict[Stretch, None] = {}
        self._under_way: Sum | None = None

    def find_missing(self, stored: Iterable[Stretch]) -> None:
        """Look for what has no sum, given what has."""
        kept = [*((HOUR, hour) for hour, _ in self._hours.spans()), *((MINUTE, minute) for minute in self._minutes)]
        self._missing = dict.fromkeys(kept)
        for stretch in stored:
            self._missing.pop(stretch, None)

    @property
    def due(self) -> bool:
        """Whether there is a sum to make."""
        return self._under_way is not None or self._next() is not None

    def note_written(self, minutes: Iterable[int]) -> None:
        """Note that rows of these minutes were written."""
        for minute in minutes:
            self._note((MINUTE, minute))

    def note_aged(self, minute: int, hour: int) -> None:
        """Note that rows of a minute went to their hour."""
        self._drop((MINUTE, minute))
        self._note((HOUR, hour))

    def note_erased(self, hour: int) -> None:
        """Note that an hour is no longer kept."""
        self._drop((HOUR, hour))

    def clear(self) -> None:
        """Note that nothing is kept any more."""
        self._missing.clear()
        self._under_way = None

    async def step(self) -> None:
        """Merge some rows, and write the sum that these were the last of.

        Raises:
            UnavailableError, UnknownOutcomeError: as `Database.transaction`.
        """
        stretch = self._next()
        if self._under_way is None and stretch is not None:
            self._under_way = Sum(stretch)
        under_way = self._under_way
        if under_way is not None and not await self._database.run(_add_some, under_way):
            self._drop(under_way.stretch)

    def _note(self, stretch: Stretch) -> None:
        self._drop(stretch)
        self._missing[stretch] = None

    def _drop(self, stretch: Stretch) -> None:
        self._missing.pop(stretch, None)
        if self._under_way and self._under_way.stretch == stretch:
            self._under_way = None

    def _next(self) -> Stretch | None:
        """Return what to make a sum of next: of nothing that is likely to gain more."""
        growing = ((MINUTE, self._minutes.newest()), (HOUR, self._hours.newest()))
        return next((stretch for stretch in reversed(self._missing) if stretch not in growing), None)


def load_summed(database: Database) -> list[Stretch]:
    """Return what has a sum."""
    return [(kind, number) for kind, sum_kind in SUM_OF.items() for number in database.load_spans(sum_kind)]


def load_sum(database: Database, kind: int, number: int) -> tuple[Slot, bytes] | None:
    """Return the sum of a minute or an hour with its slot; None when the rows must be read."""
    slot = _slot_of(kind, number)
    record = database.load_row(slot)
    return (slot, record) if record is not None and is_whole(slot, record) else None


def erase_sums(database: Database, slots: Iterable[Slot]) -> None:
    """Erase the sums of rows that change, inside of the transaction that changes them."""
    changed = {(slot.kind, slot.span) for slot in slots if slot.kind in SUM_OF}
    database.erase_rows_at(_slot_of(*stretch) for stretch in changed)


def _slot_of(kind: int, number: int) -> Slot:
    return Slot(SUM_OF[kind], number, "", "", "")


def _add_some(database: Database, sum_: Sum) -> bool:
    """Merge some rows into a sum and write it when it is whole; return whether there may be more rows.

    Of a stretch that has a damaged row no sum is made: whoever reads it is to meet the damage.
    """
    rows = database.load_some_rows(*sum_.stretch, limit=SUMMED_ROWS, after=sum_.after)
    for slot, record in rows:
        try:
            _, row = decode_statistics(slot, record)
        except DamagedRecordError:
            return False
        present = sum_.by_labels.setdefault(Labels(slot.service, slot.version), row)
        if present is not row:
            present.merge(row)
        sum_.after = slot
    if len(rows) == SUMMED_ROWS:
        return True
    slot = _slot_of(*sum_.stretch)
    with database.transaction():
        database.write_rows([(slot, encode_sums(slot, sum_.by_labels))])
    return False
