"""Builds what the domain counts, from plain durations, and says what a table of them must show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from chronoprof_sidecar.domain.batch import Batch, ItemError, Labels, NamedAggregate, SequenceId
from chronoprof_sidecar.domain.statistics import FunctionStatistics, statistics_of
from chronoprof_sidecar.protocol import MAX_DURATION_NS, NANOSECONDS, count_buckets

bounded = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
"""How every property here is tried: never by the clock of a busy machine."""

durations_ns = st.one_of(
    st.integers(0, MAX_DURATION_NS),
    st.integers(0, 5000),
    # As many durations in each power of ten as in any other.
    st.floats(0, 14.9).map(lambda exponent: round(10**exponent)),
)
"""Durations from 0 to 10 days, the small ones as often as the large."""

duration_lists = st.lists(durations_ns, min_size=1, max_size=40)


@dataclass(frozen=True, slots=True)
class Counted:
    """Fulfils `domain.statistics.Aggregate`."""

    calls: int
    errors: int
    total_ns: int
    min_ns: int
    max_ns: int
    buckets: list[int]
    counts: list[int]
    sample_every: int = 1


def aggregate(durations: Sequence[int], *, errors: int = 0, sample_every: int = 1) -> Counted:
    """Return the aggregate of durations in nanoseconds."""
    counts = count_buckets([each / NANOSECONDS for each in durations])
    buckets = sorted(counts)
    return Counted(
        calls=len(durations),
        errors=errors,
        total_ns=sum(durations),
        min_ns=min(durations),
        max_ns=max(durations),
        buckets=buckets,
        counts=[counts[bucket] for bucket in buckets],
        sample_every=sample_every,
    )


def statistics(durations: Sequence[int], *, errors: int = 0, arrived_ns: int = 0) -> FunctionStatistics:
    """Return the statistics of durations in nanoseconds that arrived at once."""
    return statistics_of(aggregate(durations, errors=errors), arrived_ns)


def figures(row: FunctionStatistics) -> dict[str, Any]:
    """Return everything that a row counts, to compare two of them."""
    return {
        "calls": row.calls,
        "errors": row.errors,
        "total_ns": row.total_ns,
        "min_ns": row.min_ns,
        "max_ns": row.max_ns,
        "first_seen_ns": row.first_seen_ns,
        "last_seen_ns": row.last_seen_ns,
        "histogram": row.histogram.to_sparse(),
    }


def batch(
    *items: NamedAggregate,
    service: str = "shop",
    version: str = "1",
    client: SequenceId | None = None,
    errors: Sequence[ItemError] = (),
    lost: tuple[int, int, int] = (0, 0, 0),
    final: bool = False,
    digest: bytes = b"",
) -> Batch:
    """Return a batch of `items`; `lost` are its dropped, rejected and unknown calls."""
    dropped, rejected, unknown = lost
    return Batch(
        client=client,
        labels=Labels(service, version),
        instance="web-1:412",
        items=items,
        calls=sum(item.aggregate.calls * item.aggregate.sample_every for item in items),
        rejected_items=len(errors),
        errors=errors,
        span_seconds=None,
        dropped=dropped,
        rejected=rejected,
        unknown=unknown,
        final=final,
        body=b"",
        digest=digest,
    )


def named(*names: str, duration_ns: int = 1_000_000) -> list[NamedAggregate]:
    """Return an aggregate of one call for each name."""
    return [NamedAggregate(name, aggregate([duration_ns])) for name in names]
