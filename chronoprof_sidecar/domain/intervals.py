"""Confidence intervals: how far chance alone could have moved a percentile or a mean.

Owns the formulas. They take timed calls for independent draws; calls of one busy minute resemble each other, so a
real difference between two runs of the same code can be larger than an interval says.
"""

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from math import ceil, floor, sqrt
from typing import Final, NamedTuple

from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.protocol import NANOSECONDS, bucket_bounds

Z: Final = 2.5758
"""Standard normal quantile of two-sided 99 % confidence."""


class Interval(NamedTuple):
    """What encloses the true value with 99 % confidence, in seconds."""

    low: float
    high: float


def percentile_intervals(row: FunctionStatistics, percents: Sequence[int]) -> list[Interval | None]:
    """Return an interval of the duration at each percentile, 1 to 99; None where there are too few calls for one.

    Distribution-free, from order statistics: of n calls the number at or below the true quantile q is binomial, so
    the calls of ranks nq ∓ z√(nq(1-q)) enclose it (Conover, "Practical Nonparametric Statistics", 3rd edition, 1999,
    section 3.2). Ranks are rounded outwards and their buckets count whole: the interval is never too narrow.
    """
    buckets, counts = row.histogram.to_sparse()
    running = list(accumulate(counts))
    lowest, highest = row.min_ns / NANOSECONDS, row.max_ns / NANOSECONDS

    def interval(percent: int) -> Interval | None:
        ranks = _enclosing_ranks(row.calls, percent / 100)
        if ranks is None:
            return None
        low, _ = bucket_bounds(buckets[bisect_left(running, ranks[0])])
        _, high = bucket_bounds(buckets[bisect_left(running, ranks[1])])
        return Interval(max(low, lowest), min(high, highest))

    return [interval(percent) for percent in percents]


def mean_interval(row: FunctionStatistics) -> Interval | None:
    """Return an interval of the mean duration, by the central limit theorem; None below 30 calls.

    The variance is that of the buckets' midpoints, off by less than 1.6 % of itself.
    """
    if row.calls < _LEAST_CALLS_OF_A_MEAN:
        return None
    mean = row.avg_time
    buckets, counts = row.histogram.to_sparse()
    squares = sum(count * (_middle(bucket) - mean) ** 2 for bucket, count in zip(buckets, counts, strict=True))
    margin = Z * sqrt(squares / (row.calls - 1) / row.calls)
    return Interval(max(0.0, mean - margin), mean + margin)


_LEAST_CALLS_OF_A_MEAN: Final = 30
"""The textbooks' rule of thumb for a mean that is nearly normal."""


@cache
def _middle(bucket: int) -> float:
    """Return the arithmetic midpoint of a bucket in seconds. At most 10 000."""
    return sum(bucket_bounds(bucket)) / 2


def _enclosing_ranks(calls: int, quantile: float) -> tuple[int, int] | None:
    """Return the ranks, from 1, of the calls that enclose a quantile; None where one of them does not exist."""
    expected = calls * quantile
    margin = Z * sqrt(expected * (1 - quantile))
    low, high = floor(expected - margin), ceil(expected + margin) + 1
    return (low, high) if low >= 1 and high <= calls else None
