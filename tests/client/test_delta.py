from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.client.delta import Aggregate, Delta, Series
from chronoprof_sidecar.client.folding import aggregate_samples
from chronoprof_sidecar.protocol import MAX_ITEM_CALLS, MAX_ITEM_TOTAL_NS

SERIES = Series("shop.checkout", 1)
samples = st.lists(st.floats(min_value=1e-9, max_value=100.0), min_size=1, max_size=30)


def aggregate(durations: list[float]) -> Aggregate:
    made, _ = aggregate_samples(durations, failed=False)
    assert made is not None
    return made


def of_size(calls: int, total_ns: int) -> Aggregate:
    return Aggregate(calls=calls, errors=0, total_ns=total_ns, min_ns=0, max_ns=total_ns, buckets={0: calls})


def take_all(delta: Delta) -> list[tuple[Series, Aggregate]]:
    taken = []
    while (item := delta.take()) is not None:
        taken.append(item)
    return taken


@given(st.lists(samples, min_size=1, max_size=6))
def test_merging_is_concatenation(parts: list[list[float]]) -> None:
    """Aggregates merged in any order are the aggregate of all samples, but for a rounding of 1 ns each."""
    whole = aggregate([duration for part in parts for duration in part])
    for order in (parts, parts[::-1]):
        delta = Delta()
        for part in order:
            delta.add(SERIES, aggregate(part))

        [(_, merged)] = take_all(delta)

        assert (whole.calls, whole.min_ns, whole.max_ns) == (merged.calls, merged.min_ns, merged.max_ns)
        assert whole.buckets == merged.buckets
        assert abs(whole.total_ns - merged.total_ns) <= len(parts)


def test_calls_are_what_samples_stand_for() -> None:
    """A delta counts a sample of a function sampled at 1 in 10 as ten calls, and gives them back when taken."""
    delta = Delta()
    delta.add(Series("a", 10), aggregate([0.1, 0.2]))
    delta.add(Series("a", 1), aggregate([0.1]))
    assert 21 == delta.calls

    assert 2 == len(take_all(delta))
    assert 0 == delta.calls
    assert not delta


def test_items_stay_within_the_bounds_of_the_wire() -> None:
    """Aggregates that would together exceed what one item may hold stay two items."""
    for size in ((MAX_ITEM_CALLS // 2, 0), (1, MAX_ITEM_TOTAL_NS // 2)):
        delta = Delta()
        for _ in range(3):
            delta.add(SERIES, of_size(*size))

        assert [1, 2] == sorted(item.calls // size[0] for _, item in take_all(delta))


def test_the_bounds_count_what_samples_stand_for() -> None:
    """The bound of an item is on calls after multiplication."""
    delta = Delta()
    for _ in range(2):
        delta.add(Series("a", 1_000_000), of_size(MAX_ITEM_CALLS // 1_000_000, 0))

    assert 2 == len(take_all(delta))
