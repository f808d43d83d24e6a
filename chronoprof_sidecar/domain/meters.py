"""What this process counted, as Prometheus wants it: figures that only grow.

Beside the store, not in it: resets and rotates leave it alone, and a restart begins at zero. The figures of functions
begin with the first reading: they cost as much as counting a batch in the window does, a third on top of decoding and
storing it (measured), and nobody is to pay for them who does not scrape. Prometheus knows a counter's increase from its
second reading on anyway, so all that is lost to it is what came between a start and the first scrape.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from chronoprof_sidecar.domain.batch import Batch, Labels, Outcome, RowKey
from chronoprof_sidecar.domain.histogram import Histogram
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import MAX_LABEL_PAIRS, Admission, Placement, Selection, Table
from chronoprof_sidecar.protocol import NANOSECONDS, OTHER, bucket_of

SILENT_SECONDS: Final = 3600.0
"""A version that sent nothing for so long makes room for a new one: else a process that outlives a hundred deployments
would have shown a hundred versions, and had no room for the next. Shorter than that would look like lost series."""


class Totals(NamedTuple):
    """Durations and their exact sum."""

    histogram: Histogram
    total_ns: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All meters at one instant; nobody changes it."""

    started_ns: int
    rows: Sequence[tuple[RowKey, FunctionStatistics]]
    """Of the batches that came after the first reading."""
    losses: Mapping[str, Losses]
    """Per service that sent anything, of calls that senders lost."""
    commits: Totals
    """From a decoded batch to its acknowledgement."""
    batches: int
    repeats: int
    calls: int
    body_bytes: int
    rejected_items: int
    refusals: Mapping[str, int]
    """Batches by the code of the error that refused them."""


class Meters:
    """Counts every batch that a store has acknowledged."""

    def __init__(self, max_functions: int, clock_ns: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self._max_functions = max_functions
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._started_ns = clock_ns()
        self._watched = False
        self._table = Table()
        self._heard_at: dict[Labels, float] = {}
        self._losses: dict[str, Losses] = {}
        self._commits, self._commits_ns = Histogram(), 0
        self._figures: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()

    def count(self, batch: Batch, outcome: Outcome, seconds: float) -> None:
        """Count what became of `batch`, which took `seconds` from being decoded to being acknowledged."""
        self._commits.add([bucket_of(seconds)], [1])
        self._commits_ns += round(seconds * NANOSECONDS)
        if outcome.duplicate:
            self._figures["repeats"] += 1
            return
        if self._watched and batch.items:
            self._count_items(batch)
        self._count_lost(batch)
        figures = self._figures
        figures["batches"] += 1
        figures["calls"] += batch.calls
        figures["body_bytes"] += len(batch.body)
        figures["rejected_items"] += batch.rejected_items

    def refuse(self, code: str) -> None:
        """Count a batch that was refused with an error of this code."""
        self._refusals[code] += 1

    def read(self) -> Reading:
        """Return all figures as of now; from the first time on, functions are counted, too."""
        self._watched = True
        figures = self._figures
        return Reading(
            started_ns=self._started_ns,
            rows=self._table.snapshot(Selection()),
            losses={service: losses.copy() for service, losses in self._losses.items()},
            commits=Totals(self._commits.copy(), self._commits_ns),
            batches=figures["batches"],
            repeats=figures["repeats"],
            calls=figures["calls"],
            body_bytes=figures["body_bytes"],
            rejected_items=figures["rejected_items"],
            refusals=dict(self._refusals),
        )

    def _count_items(self, batch: Batch) -> None:
        placement = self._place(batch)
        self._heard_at[placement.labels] = self._monotonic()
        self._table.count(placement, batch.items, self._clock_ns())

    def _count_lost(self, batch: Batch) -> None:
        """Count what the sender lost; nothing, too, since the increase from no series to a first loss is unknown."""
        service = batch.labels.service
        if service not in self._losses and len(self._losses) >= MAX_LABEL_PAIRS:
            service = OTHER
        losses = self._losses.setdefault(service, Losses())
        if batch.dropped or batch.rejected or batch.unknown:
            losses.merge(Losses(batch.dropped, batch.rejected, batch.unknown))

    def _place(self, batch: Batch) -> Placement:
        placement = Admission(self._table, self._max_functions).place(batch)
        if (placement.overflowed or placement.labels != batch.labels) and self._forget_silent():
            return Admission(self._table, self._max_functions).place(batch)
        return placement

    def _forget_silent(self) -> bool:
        """Forget the labels that nothing was heard of for long, and say whether there were any."""
        long_ago = self._monotonic() - SILENT_SECONDS
        silent = [labels for labels, heard_at in self._heard_at.items() if heard_at < long_ago]
        for labels in silent:
            del self._heard_at[labels]
            self._table.drop(labels)
        return bool(silent)
