"""What was measured since the last batch: one aggregate per series, and how two of them merge.

Wherever the shim counts *calls*, it counts what its samples stand for: one sample of a series that is sampled at 1 in n
is n calls, as in the sidecar's answers.

Pure. Owns the arithmetic of the `functions` form: whole nanoseconds and buckets, so that merging in any order gives the
same result. Must not know of buffers, JSON or time.
"""

from dataclasses import dataclass
from typing import NamedTuple

from chronoprof_sidecar.protocol import MAX_ITEM_CALLS, MAX_ITEM_TOTAL_NS


class Series(NamedTuple):
    """What an item on the wire belongs to: a name and the rate at which it was sampled."""

    name: str
    sample_every: int

    def calls_of(self, samples: int) -> int:
        """Return the calls that so many samples stand for."""
        return samples * self.sample_every


@dataclass(slots=True)
class Aggregate:
    """Some samples of one series, as one item on the wire says them."""

    calls: int
    errors: int
    total_ns: int
    min_ns: int
    max_ns: int
    buckets: dict[int, int]
    """Count by bucket number (see `protocol`)."""

    def merge(self, other: "Aggregate") -> None:
        """Take the samples of `other` in as well; `other` stays as it is."""
        self.calls += other.calls
        self.errors += other.errors
        self.total_ns += other.total_ns
        self.min_ns = min(self.min_ns, other.min_ns)
        self.max_ns = max(self.max_ns, other.max_ns)
        buckets = self.buckets
        for bucket, count in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count

    def fits_with(self, other: "Aggregate", sample_every: int) -> bool:
        """Say whether both together stay within the bounds of one item on the wire."""
        return (self.calls + other.calls) * sample_every <= MAX_ITEM_CALLS and (
            self.total_ns + other.total_ns
        ) * sample_every <= MAX_ITEM_TOTAL_NS


Item = tuple[Series, Aggregate]


class Delta:
    """Aggregates by series. Memory: one aggregate per series, whatever the number of calls."""

    __slots__ = ("_full", "_open", "calls")

    def __init__(self) -> None:
        self.calls = 0
        """Calls that the samples in here stand for."""
        self._open: dict[Series, Aggregate] = {}
        # Aggregates that reached the bounds of an item; only years of calls or a very coarse sampling get here.
        self._full: list[Item] = []

    def __bool__(self) -> bool:
        return bool(self._open or self._full)

    def add(self, series: Series, aggregate: Aggregate) -> None:
        """Merge an aggregate in, which belongs to the delta from here on."""
        self.calls += series.calls_of(aggregate.calls)
        known = self._open.get(series)
        if known is None:
            self._open[series] = aggregate
        elif known.fits_with(aggregate, series.sample_every):
            known.merge(aggregate)
        else:
            self._full.append((series, known))
            self._open[series] = aggregate

    def take(self) -> Item | None:
        """Remove and return an item, in no particular order but at constant cost; None when nothing is left."""
        if self._full:
            series, aggregate = self._full.pop()
        elif self._open:
            series, aggregate = self._open.popitem()
        else:
            return None
        self.calls -= series.calls_of(aggregate.calls)
        return series, aggregate
