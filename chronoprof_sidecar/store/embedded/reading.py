"""Reading the history while it is being written.

Stored rows are read in slices between commits. Beside them stands what memory gained since: it is copied once, at the
beginning, and each part of it knows up to which journal entry it goes. A stored row that counts that entry has the part
already, whenever and however often checkpoints wrote in between; so every call is in the answer exactly once. Minutes
stay minutes, and hours stay, until the reading ends; nor is a sum made meanwhile, which could count what memory gained.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final, NamedTuple

from chronoprof_sidecar.domain.history import History, HistoryQuery, Span
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.store.embedded.addition import Figures
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.leftovers import Leftovers
from chronoprof_sidecar.store.embedded.memory import MinuteDelta
from chronoprof_sidecar.store.embedded.merging import Gain, Merge, Source
from chronoprof_sidecar.store.embedded.records import (
    HOUR,
    HOUR_LOSSES,
    MINUTE,
    MINUTE_LOSSES,
    Slot,
)
from chronoprof_sidecar.store.embedded.retention import Retention
from chronoprof_sidecar.store.embedded.sums import load_sum
from chronoprof_sidecar.store.embedded.threads import Confined
from chronoprof_sidecar.store.embedded.upkeep import Upkeep
from chronoprof_sidecar.store.queue import JobQueue

SLICE_SECONDS: Final = 0.005
"""After which a slice ends; the query that it is in then takes as long again at most."""
SLICE_ROWS: Final = 500
"""Rows of one query."""
AGEING_STEPS: Final = 25
"""Steps that the history ages by between two queries at most, some 100 ms."""


class HistoryReader:
    """Answers one query at a time: each takes what time the store has to spare."""

    def __init__(  # noqa: PLR0913  who writes meanwhile, and where
        self,
        *,
        database: Confined[Database],
        queue: JobQueue,
        upkeep: Upkeep,
        retention: Retention,
        leftovers: Leftovers,
        max_functions: int,
    ) -> None:
        self._database = database
        self._queue = queue
        self._upkeep = upkeep
        self._retention = retention
        self._leftovers = leftovers
        self._max_functions = max_functions
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        """Wait for the query under way, and let none begin."""
        async with self._turn:
            yield

    async def read(self, query: HistoryQuery) -> History:
        """Answer a query; see `Store.history`.

        Raises:
            UnusableDatabaseError, UnknownOutcomeError: the database cannot be read.
        """
        async with self._turn:
            await self._let_age()
            self._retention.hold()
            try:
                return await self._read(query)
            finally:
                self._retention.release()
                self._queue.wake()

    async def _let_age(self) -> None:
        """Let the history age first, by some steps: nothing moves while somebody reads, and somebody may always do."""
        with suppress(UnavailableError):  # the store is closing: the next start goes on
            for _ in range(AGEING_STEPS):
                if not self._retention.due:
                    return
                await self._queue.run(self._upkeep.age)

    async def _read(self, query: HistoryQuery) -> History:
        gains = self._gains(query)
        sources = self._sources(summed=not query.per_function and query.selection.any_function)
        earliest = min((source.span.start for source in sources), default=None)
        sources = [source for source in sources if source.span.overlaps(query.span)]
        history = History(query, {source.span for source in sources}, earliest, self._max_functions)
        merge = Merge(history, query.selection, gains, sources)
        erased = self._leftovers.among(source.number for source in sources if source.kind == MINUTE)
        sources = [source for source in sources if source.number not in erased or source.kind in (HOUR, HOUR_LOSSES)]
        position = Position(0, None)
        while position.source < len(sources):
            records, position = await self._database.run(_read_slice, sources, position, query.selection)
            await asyncio.to_thread(merge.add, records)
        await asyncio.to_thread(merge.finish)
        return history

    def _gains(self, query: HistoryQuery) -> list[Gain]:
        return [
            Gain(span, lsn, _select(minute, delta, query.selection))
            for lsn, minutes in self._upkeep.unwritten_minutes()
            for minute, delta in minutes.items()
            if (span := Span(minute, minute + 1)).overlaps(query.span)
        ]

    def _sources(self, *, summed: bool) -> list[Source]:
        """Return all that is kept, in order of time."""
        gained = (minute for _, minutes in self._upkeep.unwritten_minutes() for minute in minutes)
        sources = []
        for minute in {*self._retention.minutes, *gained}:
            span = Span(minute, minute + 1)
            sources += [Source(MINUTE, minute, span, summed), Source(MINUTE_LOSSES, minute, span)]
        for number, span in self._retention.hours.spans():
            sources += [Source(HOUR, number, span, summed), Source(HOUR_LOSSES, number, span)]
        return sorted(sources, key=lambda source: source.span)


class Position(NamedTuple):
    """How far the reading has come: to a source, and to a slot in it."""

    source: int
    after: Slot | None


def _select(minute: int, delta: MinuteDelta, selection: Selection) -> dict[Slot, Figures]:
    """Return what is asked for of what a minute gained, as it is now and will stay."""
    figures: dict[Slot, Figures] = {
        Slot(MINUTE, minute, key.service, key.version, key.function_name): row
        for key, row in delta.rows.snapshot(selection)
    }
    for service, losses in delta.losses.items():
        if selection.covers_losses(service):
            figures[Slot(MINUTE_LOSSES, minute, service, "", "")] = losses.copy()
    return figures


def _read_slice(
    database: Database, sources: Sequence[Source], position: Position, selection: Selection
) -> tuple[list[tuple[Slot, bytes]], Position]:
    """Read on from a position for some milliseconds; return the records asked for, and the new position."""
    ends_at = monotonic() + SLICE_SECONDS
    wants = selection.name_filter()
    records: list[tuple[Slot, bytes]] = []
    while position.source < len(sources):
        source = sources[position.source]
        sum_ = load_sum(database, source.kind, source.number) if source.summed and position.after is None else None
        found = [sum_] if sum_ else _load_rows(database, source, position.after, selection)
        records += [each for each in found if sum_ or _is_asked(each[0], selection, wants)]
        more = not sum_ and len(found) == SLICE_ROWS
        position = Position(position.source, found[-1][0]) if more else Position(position.source + 1, None)
        if monotonic() >= ends_at:
            break
    return records, position


def _load_rows(
    database: Database, source: Source, after: Slot | None, selection: Selection
) -> list[tuple[Slot, bytes]]:
    values = _values(source.kind, selection)
    return database.load_some_rows(source.kind, source.number, limit=SLICE_ROWS, after=after, **values)


def _values(kind: int, selection: Selection) -> dict[str, str]:
    """Return what the database itself can select rows by."""
    if kind not in (MINUTE, HOUR):
        return {}
    columns = {
        "service": selection.service,
        "version": selection.version,
        "function_name": selection.function_name,
    }
    return {column: value for column, value in columns.items() if value is not None}


def _is_asked(slot: Slot, selection: Selection, wants: Callable[[str], bool]) -> bool:
    return wants(slot.function_name) if slot.kind in (MINUTE, HOUR) else selection.covers_losses(slot.service)
