"""Checkpoints: writing what memory gained into rows, so that the journal can be cut and a restart is quick.

A checkpoint is a round of small transactions between commits, so it never holds up a batch for long. Each row carries
the `lsn` of the last journal entry that it counts (the page LSN of ARIES, Mohan et al. 1992, section 3); replay skips
what a row has counted already. So a crash between two slices leaves some rows new, some old, the journal whole, and
every total right.

    crash before a slice commits      its rows are as before; the journal repeats what they miss
    crash between two slices          written rows are ahead of others by their lsn; the journal repeats the rest
    crash before the journal is cut   all rows are new; the journal repeats nothing but is still there
    crash between two cuts            the same with less of the journal
    crash after the last one          the journal holds what came after the round began
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from chronoprof_sidecar.domain.batch import Labels
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.store.embedded.addition import add_rows
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.memory import Dirty, Memory, MinuteDelta
from chronoprof_sidecar.store.embedded.records import (
    MINUTE,
    MINUTE_LOSSES,
    WINDOW,
    WINDOW_LOSSES,
    Slot,
    encode_losses,
    encode_sender,
    encode_statistics,
)

SLICE_ROWS: Final = 200
"""Rows of one transaction: some 5 ms on the slowest machine measured."""
CUT_ENTRIES: Final = 2000
CUT_BYTES: Final = 1024 * 1024
"""Of the journal, cut in one transaction. Twenty megabytes at once kept the disk, and batches waiting, for 90 ms."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Slice:
    """What one transaction of a round writes; `deltas` have yet to be added to what is stored."""

    rows: Sequence[tuple[Slot, bytes]] = ()
    deltas: Sequence[tuple[Slot, FunctionStatistics | Losses]] = ()
    senders: Sequence[tuple[str, bytes]] = ()
    forgotten: Sequence[str] = ()


class Round:
    """One checkpoint under way: everything that was dirty when it began.

    Lives in the event loop's thread, as memory does; what it hands out as a `Slice` no longer changes.
    """

    def __init__(self, memory: Memory) -> None:
        self.lsn = memory.lsn
        """Once the round is written, journal entries up to here are no longer needed."""
        self._memory = memory
        self._generation = memory.generation
        self._dirty, memory.dirty = memory.dirty, Dirty()
        self._slices = self._cut()
        self._pending: Slice | None = None
        self._history_dropped = False

    @property
    def minutes(self) -> Mapping[int, MinuteDelta]:
        """What this round adds to minutes; stored rows that count journal entries up to `lsn` have it already."""
        return {} if self._history_dropped else self._dirty.minutes

    def next_slice(self) -> Slice | None:
        """Return the slice to write, the same one until `written` is called; None when all is written."""
        if self._pending is None:
            self._pending = next(self._slices, None)
        return self._pending

    def written(self) -> None:
        """Note that the slice is durable."""
        self._pending = None

    def drop_history(self) -> None:
        """Write no minutes any more: the history was erased."""
        self._history_dropped = True
        if self._pending and self._pending.deltas:
            self._pending = None

    def _cut(self) -> Iterator[Slice]:
        # Each slice is encoded when its turn comes, so its rows may count entries later than the round's lsn.
        for slots in _batched(self._window_slots()):
            yield Slice(rows=list(self._encode_current(slots)))
        for deltas in _batched(self._deltas()):
            if self._history_dropped:
                break
            yield Slice(deltas=deltas)
        for ids in _batched(self._dirty.senders):
            senders = (self._memory.senders.get(sender_id) for sender_id in ids)
            yield Slice(senders=[(sender.id, encode_sender(sender)) for sender in senders if sender])
        for ids in _batched(self._dirty.forgotten):
            yield Slice(forgotten=[sender_id for sender_id in ids if self._memory.senders.get(sender_id) is None])

    def _window_slots(self) -> Iterator[Slot]:
        for labels, names in self._dirty.rows.items():
            for name in names:
                yield Slot(WINDOW, self._generation, *labels, name)
        for service in self._dirty.losses:
            yield Slot(WINDOW_LOSSES, self._generation, service, "", "")

    def _encode_current(self, slots: Iterable[Slot]) -> Iterator[tuple[Slot, bytes]]:
        memory = self._memory
        if memory.generation != self._generation:
            return  # a reset came in between: nobody will read the old window
        for slot in slots:
            if slot.kind == WINDOW_LOSSES:
                yield slot, encode_losses(slot, memory.lsn, memory.losses[slot.service])
            else:
                row = memory.window.rows_of(Labels(slot.service, slot.version))[slot.function_name]
                yield slot, encode_statistics(slot, memory.lsn, row)

    def _deltas(self) -> Iterator[tuple[Slot, FunctionStatistics | Losses]]:
        for minute, delta in self._dirty.minutes.items():
            for key, row in delta.rows.select(Selection()):
                yield Slot(MINUTE, minute, key.service, key.version, key.function_name), row
            for service, losses in delta.losses.items():
                yield Slot(MINUTE_LOSSES, minute, service, "", ""), losses


def write_slice(database: Database, part: Slice, lsn: int, now_ns: int) -> list[Slot]:
    """Write one slice of the round up to `lsn` in a transaction; return the slots whose old record was damaged.

    Raises:
        UnavailableError, UnknownOutcomeError: as `Database.transaction`; after the first, the same slice may be tried
            again.
    """
    with database.transaction():
        _write_window_rows(database, part.rows)
        damaged = add_rows(database, part.deltas, lsn, now_ns)
        database.write_senders(part.senders, part.forgotten)
    return damaged


def cut_journal(database: Database, lsn: int, values: Mapping[str, int | str]) -> bool:
    """Cut a piece off the journal, now that every row counts its entries up to `lsn`; return whether it was the last.

    With it goes what else a restart is to know: the entries that would tell it are no longer there.

    Raises:
        UnavailableError, UnknownOutcomeError: as `Database.transaction`.
    """
    end = database.find_journal_piece(lsn, max_entries=CUT_ENTRIES, max_bytes=CUT_BYTES)
    with database.transaction():
        database.truncate_journal(end)
        database.write_meta(lsn=end, **values)
    return end == lsn


def _write_window_rows(database: Database, rows: Sequence[tuple[Slot, bytes]]) -> None:
    """Write rows of the current window, and how many it has now, so that a start knows when some are missing."""
    if not rows:
        return
    meta = database.load_meta()
    added = database.write_rows((slot, record) for slot, record in rows if slot.span == meta["generation"])
    database.write_meta(window_rows=int(meta["window_rows"]) + added)


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, SLICE_ROWS)):
        yield batch
