"""What an item must fulfil beyond its shape: names, and aggregates that agree with themselves.

Every function here returns the reason of refusal, or None where there is none.
"""

from bisect import bisect_left
from functools import cache

from chronoprof_sidecar.domain.statistics import Aggregate
from chronoprof_sidecar.protocol import (
    BUCKET_COUNT,
    MAX_DURATION_NS,
    MAX_ITEM_CALLS,
    MAX_ITEM_TOTAL_NS,
    MAX_NAME_LENGTH,
    NANOSECONDS,
    OTHER,
    bucket_bounds,
    bucket_of,
    is_clean,
)

_COARSE_NS = 1000
"""Up to 1 µs, rounding to whole nanoseconds can move a duration by more than one bucket."""
_COARSE_BUCKET = bucket_of(_COARSE_NS / NANOSECONDS)
_LAST_BUCKET = bucket_of(MAX_DURATION_NS / NANOSECONDS)
_ROUNDING = 2**-23
"""Rounding to binary32 carries a duration over an edge that is at most 2^-24 of its value away; twice that is safe."""


def refuse_name(name: str) -> str | None:
    """Judge a function name: 1 to 512 characters, no control characters, not `_other`."""
    if name.isprintable() and 0 < len(name) <= MAX_NAME_LENGTH and name != OTHER:  # nearly every name, in one step
        return None
    if not name:
        return "the function name is empty"
    if len(name) > MAX_NAME_LENGTH:
        return f"the function name is longer than {MAX_NAME_LENGTH} characters"
    if not is_clean(name):
        return "the function name holds a control character"
    if name == OTHER:
        return f"the function name {OTHER} is reserved"
    return None


def refuse_label(label: str) -> str | None:
    """Judge a service, version or instance: no control characters."""
    return None if is_clean(label) else "it holds a control character"


def refuse_aggregate(item: Aggregate) -> str | None:
    """Judge whether an aggregate keeps the bounds per item and agrees with itself."""
    if item.calls * item.sample_every > MAX_ITEM_CALLS:
        return "calls x sample_every exceeds 2^40"
    if item.total_ns * item.sample_every > MAX_ITEM_TOTAL_NS:
        return "total_ns x sample_every exceeds 2^62"
    return refuse_contradiction(item)


def refuse_contradiction(item: Aggregate) -> str | None:
    """Judge whether an aggregate agrees with itself; sums of aggregates that do, do too."""
    calls, min_ns, max_ns, buckets, counts = item.calls, item.min_ns, item.max_ns, item.buckets, item.counts
    if item.errors > calls:
        return "errors exceed calls"
    if min_ns > max_ns:
        return "min_ns exceeds max_ns"
    # Each duration was rounded to whole nanoseconds on its own, so a sum may be off by one per call.
    if not calls * (min_ns - 1) <= item.total_ns <= calls * (max_ns + 1):
        return "total_ns is not between calls x min_ns and calls x max_ns"
    if len(buckets) != len(counts):
        return "buckets and counts differ in length"
    if sum(counts) != calls:
        return "counts do not add up to calls"
    if buckets[0] < 0 or buckets[-1] >= BUCKET_COUNT:
        return "there is no such bucket"
    if not _ascend(buckets):
        return "buckets are not ascending"
    low_ns, end_ns = _durations_near(buckets[0])
    if not low_ns <= min_ns < end_ns:
        return "the first bucket is not that of min_ns"
    low_ns, end_ns = _durations_near(buckets[-1])
    if not low_ns <= max_ns < end_ns:
        return "the last bucket is not that of max_ns"
    return None


def _ascend(buckets: list[int]) -> bool:
    """Say whether each bucket is above the one before it; none is negative."""
    previous = -1
    for bucket in buckets:
        if bucket <= previous:
            return False
        previous = bucket
    return True


@cache  # looking it up is a tenth of computing the buckets of min_ns and max_ns
def _durations_near(bucket: int) -> tuple[int, int]:
    """Return the durations [low, end) in whole nanoseconds that fall into a bucket or one of its neighbours.

    Durations that are coarse fall into any bucket up to the first that is not.
    """
    if bucket > _COARSE_BUCKET + 1:
        return _first_ns(bucket - 1), _first_ns(bucket + 2)
    return 0, max(_first_ns(bucket + 2), _COARSE_NS + 1)


def _first_ns(bucket: int) -> int:
    """Return the shortest duration in whole nanoseconds of a bucket or those above it; past the longest if none is."""
    if bucket > _LAST_BUCKET:
        return MAX_DURATION_NS + 1
    edge_ns = bucket_bounds(bucket)[0] * NANOSECONDS
    around = range(int(edge_ns * (1 - _ROUNDING)), int(edge_ns * (1 + _ROUNDING)) + 2)
    return around[bisect_left(around, bucket, key=lambda duration_ns: bucket_of(duration_ns / NANOSECONDS))]
