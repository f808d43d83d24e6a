"""The histogram of one function's durations: counts per log-linear bucket, mergeable, with bounded relative error.

Owns how counts are kept and how a percentile is read from them. The bucket rule itself belongs to `protocol`; sums,
minimum and maximum belong to `statistics`.

Memory: an offset and a flat array of 64-bit counts from the lowest to the highest bucket in use, 8 bytes each; 300
neighbouring buckets cost 2.4 kB, where a dict of the same counts costs 28 kB. Bucket 0, which takes durations of zero,
is counted apart: 6200 buckets lie between it and the one of a nanosecond, 50 kB of array.

Time: adding to an item of a list takes half as long as to one of an array, which makes an object of the number each
time. So what is added gathers in a list as long as the array, until somebody wants the counts: then the two become one
array. A copy shares the array, and percentiles read both in one run.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate
from operator import add

from chronoprof_sidecar.protocol import bucket_bounds

_ARRAY_CAPACITY = 2**64
"""Counts at or above this do not fit an array's 64-bit items."""


class Histogram:
    """Counts per bucket of `protocol.bucket_of`.

    Percentiles come within a relative error of 0.776 % of the true value for durations from 1 ns up: the harmonic
    midpoint 2ab/(a+b) of a bucket [a, b) is off by at most (b-a)/(b+a), and b/a is at most 1 + 1/64. The rule is that
    of DDSketch (Masson, Rim, Lee: "DDSketch", VLDB 2019, section 2.2) with linear steps inside a doubling, as in
    HdrHistogram.

    Merging adds integers, so any order and grouping of merges gives the same histogram.
    """

    __slots__ = ("_parts", "count", "offset", "zeros")

    def __init__(self) -> None:
        self.count = 0
        """Durations counted; the sum over all buckets."""
        self.zeros = 0
        """Durations in bucket 0."""
        self.offset = 0
        """The bucket of `counts[0]`, never 0 where there are counts."""
        self._parts: tuple[array[int] | list[int], list[int]] = array("Q"), []
        """Counts, never changed in place, and what was added to them since they were made: as many, or none. Replaced
        in one step, since threads that read the same rows may do so at once."""

    @classmethod
    def restore(cls, offset: int, counts: list[int], zeros: int = 0) -> "Histogram":
        """Return the histogram whose `offset`, `counts` and `zeros` were these."""
        histogram = cls()
        histogram.zeros = zeros
        histogram.offset = offset
        histogram.count = zeros + sum(counts)
        histogram._parts = histogram._to_array(counts), []
        return histogram

    @property
    def counts(self) -> "array[int] | list[int]":
        """Durations per bucket from `offset` on; not to be changed; a list where 64 bits are too few."""
        counts, added = self._parts
        if added:
            counts = self._to_array(map(add, counts, added))
            self._parts = counts, []
        return counts

    def add(self, buckets: list[int], counts: list[int], times: int = 1) -> None:
        """Add `counts[i] * times` durations to `buckets[i]`.

        Args:
            buckets: bucket numbers, ascending, at least one. Lists, not any sequences, since this is compiled.
            counts: as many counts, each 1 or more.
            times: what every count is multiplied with, 1 or more.
        """
        if times != 1:
            counts = [count * times for count in counts]
        first = buckets[0]
        if first == 0:
            self.zeros += counts[0]
            self.count += counts[0]
            if len(buckets) > 1:
                self.add(buckets[1:], counts[1:])
            return
        self.count += sum(counts)
        added = self._parts[1]
        if first < self.offset or buckets[-1] >= self.offset + len(added):
            added = self._make_room(first, buckets[-1] + 1)
        offset = self.offset
        if len(buckets) == 1:  # as for most functions in most seconds
            added[first - offset] += counts[0]
            return
        for bucket, count in zip(buckets, counts):  # noqa: B905  `strict` has mypyc make a tuple a step
            added[bucket - offset] += count

    def merge(self, other: "Histogram") -> None:
        """Add all counts of `other`, which stays as it is."""
        theirs = other.counts
        self.zeros += other.zeros
        self.count += other.count
        if not theirs:
            return
        added = self._make_room(other.offset, other.offset + len(theirs))
        start = other.offset - self.offset
        end = start + len(theirs)
        added[start:end] = map(add, added[start:end], theirs)

    def copy(self) -> "Histogram":
        """Return an independent copy."""
        twin = Histogram()
        twin.zeros = self.zeros
        twin.offset = self.offset
        counts, added = self._parts
        twin._parts = counts, added[:]
        twin.count = self.count
        return twin

    def to_sparse(self) -> tuple[list[int], list[int]]:
        """Return the buckets in use, ascending, and their counts: what `add` takes."""
        pairs = [(0, self.zeros)] if self.zeros else []
        pairs += [(bucket, count) for bucket, count in enumerate(self.counts, self.offset) if count]
        return [bucket for bucket, _ in pairs], [count for _, count in pairs]

    def percentiles(self, percents: Sequence[int]) -> list[float]:
        """Return the duration in seconds at each percentile, 0 to 100.

        The rank of percentile p is the smallest value with at least p/100 of all durations at or below it (Hyndman
        and Fan's definition 1). The answer may lie outside the smallest and largest duration by the bucket's width;
        `FunctionStatistics.percentiles` clamps it.

        Raises:
            ValueError: the histogram is empty.
        """
        if not self.count:
            raise ValueError("an empty histogram has no percentiles")
        # One run over all counts at C speed is at least as fast as skipping some of them in Python, up to 800 buckets.
        counts, added = self._parts
        running = list(accumulate(map(add, counts, added) if added else counts, initial=self.zeros))
        answers = []
        for percent in percents:
            rank = max(1, -(-percent * self.count // 100))
            place = bisect_left(running, rank)
            answers.append(midpoint(self.offset + place - 1 if place else 0))
        return answers

    def _make_room(self, first: int, end: int) -> list[int]:
        """Make room for buckets first to end - 1, and return what adds up in all of them."""
        counts = self.counts
        if not counts:
            self.offset = first
        below = max(0, self.offset - first)
        above = max(0, end - self.offset - len(counts))
        if below or above:
            counts = self._to_array([*[0] * below, *counts, *[0] * above])
            self.offset -= below
        added = [0] * len(counts)
        self._parts = counts, added
        return added

    def _to_array(self, counts: Iterable[int]) -> "array[int] | list[int]":
        # No count exceeds their sum.
        return list(counts) if self.count >= _ARRAY_CAPACITY else array("Q", counts)


@cache
def midpoint(bucket: int) -> float:
    """Return the harmonic midpoint of a bucket in seconds: it halves the largest relative error. At most 10 000."""
    low, high = bucket_bounds(bucket)
    return 2 * low * high / (low + high)
