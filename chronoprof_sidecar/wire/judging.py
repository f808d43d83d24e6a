"""What an item must fulfil beyond its shape: names, and aggregates that agree with themselves.

Every function here returns the reason of refusal, or None where there is none.
"""

from operator import lt

from chronoprof_sidecar.protocol import (
    MAX_ITEM_CALLS,
    MAX_ITEM_TOTAL_NS,
    MAX_NAME_LENGTH,
    NANOSECONDS,
    OTHER,
    bucket_of,
    is_clean,
)
from chronoprof_sidecar.wire.schema import FunctionItem

_COARSE_NS = 1000
"""Up to 1 µs, rounding to whole nanoseconds can move a duration by more than one bucket."""
_COARSE_BUCKET = bucket_of(_COARSE_NS / NANOSECONDS)


def refuse_name(name: str) -> str | None:
    """Judge a function name: 1 to 512 characters, no control characters, not `_other`."""
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


def refuse_aggregate(item: FunctionItem) -> str | None:
    """Judge whether an aggregate keeps the bounds per item and agrees with itself."""
    if item.calls * item.sample_every > MAX_ITEM_CALLS:
        return "calls x sample_every exceeds 2^40"
    if item.total_ns * item.sample_every > MAX_ITEM_TOTAL_NS:
        return "total_ns x sample_every exceeds 2^62"
    return refuse_contradiction(item)


def refuse_contradiction(item: FunctionItem) -> str | None:
    """Judge whether an aggregate agrees with itself; sums of aggregates that do, do too."""
    calls, total_ns, min_ns, max_ns = item.calls, item.total_ns, item.min_ns, item.max_ns
    if item.errors > calls:
        return "errors exceed calls"
    if min_ns > max_ns:
        return "min_ns exceeds max_ns"
    # Each duration was rounded to whole nanoseconds on its own, so a sum may be off by one per call.
    if not calls * (min_ns - 1) <= total_ns <= calls * (max_ns + 1):
        return "total_ns is not between calls x min_ns and calls x max_ns"
    return _refuse_buckets(item)


def _refuse_buckets(item: FunctionItem) -> str | None:
    buckets = item.buckets
    if len(buckets) != len(item.counts):
        return "buckets and counts differ in length"
    if sum(item.counts) != item.calls:
        return "counts do not add up to calls"
    if not all(map(lt, buckets, buckets[1:])):
        return "buckets are not ascending"
    if not _is_near(buckets[0], item.min_ns):
        return "the first bucket is not that of min_ns"
    if not _is_near(buckets[-1], item.max_ns):
        return "the last bucket is not that of max_ns"
    return None


def _is_near(bucket: int, duration_ns: int) -> bool:
    if duration_ns <= _COARSE_NS:
        return bucket <= _COARSE_BUCKET + 1
    return abs(bucket - bucket_of(duration_ns / NANOSECONDS)) <= 1
