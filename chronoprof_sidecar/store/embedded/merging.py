"""Putting an answer together: stored records, and what memory gained since they were written.

Runs beside the event loop, and knows nothing of where records come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import sleep
from typing import Final, NamedTuple

from chronoprof_sidecar.domain.batch import Labels, RowKey
from chronoprof_sidecar.domain.history import ALL, History, Span
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.store.embedded.addition import Figures, decode_row
from chronoprof_sidecar.store.embedded.records import (
    MINUTE,
    MINUTE_LOSSES,
    SUM_KINDS,
    SUM_OF,
    DamagedRecordError,
    Slot,
    decode_sums,
)

BITE_RECORDS: Final = 20
"""Records merged before other threads get a turn, half a millisecond: a commit takes a dozen turns, and would wait for
each as long as the interpreter's switch interval, 60 ms in all (measured)."""


class Source(NamedTuple):
    """Where rows of one stretch are stored."""

    kind: int
    number: int
    span: Span
    summed: bool = False
    """Whether its sum will do, if it has one: nobody asks for functions."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What one minute gained in memory up to a journal entry, and not more."""

    span: Span
    lsn: int
    figures: dict[Slot, Figures]


class Merge:
    """Puts records and gains into the answer; in one thread at a time."""

    def __init__(
        self, history: History, selection: Selection, gains: Sequence[Gain], sources: Sequence[Source]
    ) -> None:
        self._history = history
        self._selection = selection
        self._spans = {(source.kind, source.number): source.span for source in sources}
        self._spans |= {(SUM_OF[source.kind], source.number): source.span for source in sources if source.summed}
        self._gains = gains
        self._gains_of: dict[int, list[Gain]] = {}
        for gain in gains:
            self._gains_of.setdefault(gain.span.start, []).append(gain)

    def add(self, records: Sequence[tuple[Slot, bytes]]) -> None:
        """Count stored records, and drop the gains that they have already."""
        for number, (slot, record) in enumerate(records):
            if number % BITE_RECORDS == 0:
                sleep(0)  # let the threads of a commit run
            self._add(slot, record)

    def finish(self) -> None:
        """Count the gains that no stored record has."""
        for gain in self._gains:
            for slot, figures in gain.figures.items():
                self._count(gain.span, slot, figures)

    def _add(self, slot: Slot, record: bytes) -> None:
        span = self._spans[slot.kind, slot.span]
        if slot.kind in SUM_KINDS:
            self._count_sums(span, decode_sums(slot, record))
            return
        try:
            lsn, figures = decode_row(slot, record)
        except DamagedRecordError:
            self._history.lose(span, slot.service, Losses(set_aside=1))
            return
        if slot.kind in (MINUTE, MINUTE_LOSSES):
            self._drop_gains(slot, lsn)
        self._count(span, slot, figures)

    def _drop_gains(self, slot: Slot, lsn: int) -> None:
        for gain in self._gains_of.get(slot.span, ()):
            if lsn >= gain.lsn:
                gain.figures.pop(slot, None)

    def _count_sums(self, span: Span, sums: Mapping[Labels, FunctionStatistics]) -> None:
        for labels, row in sums.items():
            if self._selection.covers(labels):
                self._history.count(span, RowKey(ALL, *labels), row)

    def _count(self, span: Span, slot: Slot, figures: Figures) -> None:
        if isinstance(figures, Losses):
            self._history.lose(span, slot.service, figures)
        else:
            self._history.count(span, RowKey(slot.function_name, slot.service, slot.version), figures)
