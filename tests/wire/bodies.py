"""Writes ingest bodies as a sender would, and what senders get wrong."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from chronoprof_sidecar.protocol import NANOSECONDS, bucket_of


def body_of(**fields: Any) -> bytes:
    """Return an ingest body."""
    return json.dumps(fields).encode()


def item_of(durations_ns: Sequence[int], **changed: Any) -> dict[str, Any]:
    """Return an item of the `functions` form that counts these durations, with some fields changed."""
    counts = Counter(bucket_of(each / NANOSECONDS) for each in durations_ns)
    buckets = sorted(counts)
    return {
        "calls": len(durations_ns),
        "errors": 0,
        "total_ns": sum(durations_ns),
        "min_ns": min(durations_ns),
        "max_ns": max(durations_ns),
        "buckets": buckets,
        "counts": [counts[bucket] for bucket in buckets],
        "sample_every": 1,
        **changed,
    }


MS = 1_000_000
GOOD = item_of([90 * MS, 210 * MS, 300 * MS])


def changed(**fields: Any) -> dict[str, Any]:
    """Return an item of the `functions` form that is good but for these fields."""
    return {**GOOD, **fields}


def without(field: str) -> dict[str, Any]:
    """Return an item of the `functions` form that lacks a field."""
    return {name: value for name, value in GOOD.items() if name != field}
