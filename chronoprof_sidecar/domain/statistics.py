"""The statistics of one row: exact sums in whole nanoseconds beside the histogram.

Owns what a row counts and how two rows become one. Does not know its own name or labels: the table does.
"""

from collections.abc import Sequence
from operator import truediv
from typing import Protocol

from chronoprof_sidecar.domain.histogram import Histogram
from chronoprof_sidecar.protocol import NANOSECONDS


class Aggregate(Protocol):
    """Timed calls of one function, added up by whoever sent them; valid by the rules of `wire`.

    All fields are before multiplication with `sample_every`: one recorded call in that many.
    """

    @property
    def calls(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def total_ns(self) -> int: ...
    @property
    def min_ns(self) -> int: ...
    @property
    def max_ns(self) -> int: ...
    @property
    def buckets(self) -> list[int]: ...
    @property
    def counts(self) -> list[int]: ...
    @property
    def sample_every(self) -> int: ...


class FunctionStatistics:
    """Calls, errors, exact total, extremes and distribution of one row's durations.

    `first_seen_ns` and `last_seen_ns` are arrival times at the sidecar, in nanoseconds of Unix time.
    """

    __slots__ = ("epoch", "errors", "first_seen_ns", "histogram", "last_seen_ns", "max_ns", "min_ns", "total_ns")

    def __init__(self, min_ns: int, max_ns: int, first_seen_ns: int, last_seen_ns: int) -> None:
        self.errors = 0
        self.total_ns = 0
        self.min_ns = min_ns
        self.max_ns = max_ns
        self.first_seen_ns = first_seen_ns
        self.last_seen_ns = last_seen_ns
        self.histogram = Histogram()
        self.epoch = 0
        """The table's epoch in which this row was made; see `Table`."""

    @property
    def calls(self) -> int:
        """Calls counted."""
        return self.histogram.count

    @property
    def avg_time(self) -> float:
        """Mean duration in seconds."""
        # Not by `/`, which mypyc compiles for floats: beyond 2^53 ns a mean might come out above the maximum.
        average_ns: float = truediv(self.total_ns, self.calls)
        return average_ns / NANOSECONDS

    def add(self, aggregate: Aggregate, arrived_ns: int) -> None:
        """Count an aggregate that arrived at `arrived_ns`.

        A sampled aggregate stands for `sample_every` times its calls, errors, total and counts; its minimum and
        maximum are what was seen.
        """
        times = aggregate.sample_every
        self.errors += aggregate.errors * times
        self.total_ns += aggregate.total_ns * times
        self.histogram.add(aggregate.buckets, aggregate.counts, times)
        self._widen(aggregate.min_ns, aggregate.max_ns, arrived_ns, arrived_ns)

    def merge(self, other: "FunctionStatistics") -> None:
        """Count everything that `other` counted; it stays as it is."""
        self.errors += other.errors
        self.total_ns += other.total_ns
        self.histogram.merge(other.histogram)
        self._widen(other.min_ns, other.max_ns, other.first_seen_ns, other.last_seen_ns)

    def copy(self) -> "FunctionStatistics":
        """Return an independent copy."""
        twin = FunctionStatistics(self.min_ns, self.max_ns, self.first_seen_ns, self.last_seen_ns)
        twin.errors = self.errors
        twin.total_ns = self.total_ns
        twin.histogram = self.histogram.copy()
        return twin

    def percentiles(self, percents: Sequence[int]) -> list[float]:
        """Return durations in seconds at percentiles 0 to 100, clamped to [min, max] and so monotone within it."""
        low, high = self.min_ns / NANOSECONDS, self.max_ns / NANOSECONDS
        return [min(max(value, low), high) for value in self.histogram.percentiles(percents)]

    def _widen(self, min_ns: int, max_ns: int, first_seen_ns: int, last_seen_ns: int) -> None:
        # min() and max() cost 150 ns each, a quarter of what counting a small aggregate takes.
        if min_ns < self.min_ns:  # noqa: PLR1730
            self.min_ns = min_ns
        if max_ns > self.max_ns:  # noqa: PLR1730
            self.max_ns = max_ns
        if first_seen_ns < self.first_seen_ns:  # noqa: PLR1730
            self.first_seen_ns = first_seen_ns
        if last_seen_ns > self.last_seen_ns:  # noqa: PLR1730
            self.last_seen_ns = last_seen_ns


def statistics_of(aggregate: Aggregate, arrived_ns: int) -> FunctionStatistics:
    """Return the statistics of one aggregate alone."""
    statistics = FunctionStatistics(aggregate.min_ns, aggregate.max_ns, arrived_ns, arrived_ns)
    statistics.add(aggregate, arrived_ns)
    return statistics
