from hypothesis import given

from chronoprof_sidecar.domain.bounds import CLASSIC_BOUNDS, SCHEMA, ZERO_THRESHOLD, Native, count_classic, to_native
from chronoprof_sidecar.domain.histogram import Histogram
from chronoprof_sidecar.protocol import NANOSECONDS, bucket_bounds, bucket_of
from tests.domain.building import bounded, duration_lists, statistics

OUR_WIDTH = 1 + 1 / 64
NATIVE_WIDTH = 2.0 ** (2.0**-SCHEMA)


def read_native(native: Native) -> dict[int, int]:
    """Return counts by index, read as Prometheus reads spans and deltas."""
    counts: dict[int, int] = {}
    deltas = iter(native.deltas)
    index = count = 0
    for offset, length in native.spans:
        index += offset
        for _ in range(length):
            count += next(deltas)
            counts[index] = count
            index += 1
    assert next(deltas, None) is None
    return counts


@bounded
@given(duration_lists)
def test_a_bound_counts_what_is_at_most_it(durations_ns: list[int]) -> None:
    """Nothing at or below a classic bound is left out, and nothing is counted with it that is 1.6 % longer."""
    counts = count_classic(statistics(durations_ns).histogram)
    for bound, count in zip(CLASSIC_BOUNDS, counts, strict=True):
        at_least = sum(each <= bound * NANOSECONDS for each in durations_ns)
        at_most = sum(each <= bound * NANOSECONDS * OUR_WIDTH for each in durations_ns)
        assert at_least <= count <= at_most


def test_an_empty_histogram_has_no_counts() -> None:
    """Before the first duration there is nothing below any bound and in no bucket."""
    assert [0] * len(CLASSIC_BOUNDS) == count_classic(Histogram())
    assert Native(0, [], []) == to_native(Histogram())


@bounded
@given(duration_lists)
def test_a_native_histogram_holds_every_duration_near_its_place(durations_ns: list[int]) -> None:
    """Every duration is counted, once, in a native bucket that it misses by less than 0.79 % of itself."""
    native = to_native(statistics(durations_ns).histogram)
    counts = read_native(native)
    assert len(durations_ns) == native.zero_count + sum(counts.values())
    assert native.zero_count == sum(each < ZERO_THRESHOLD * NANOSECONDS for each in durations_ns)
    ascending = sorted(each / NANOSECONDS for each in durations_ns if each)
    for index in sorted(counts):
        for _ in range(counts[index]):
            duration = ascending.pop(0)
            assert NATIVE_WIDTH ** (index - 1) / 1.0079 < duration < NATIVE_WIDTH**index * 1.0079
    assert not ascending


def test_powers_of_two_are_bounds_of_both() -> None:
    """No bucket of ours reaches over a power of two, so none of theirs mixes two doublings."""
    for exponent in range(-30, 20):
        low = bucket_of(2.0**exponent)
        assert bucket_bounds(low)[0] == 2.0**exponent
        histogram = Histogram()
        histogram.add([low - 1, low], [1, 2])
        expected = {exponent * 2**SCHEMA: 1, exponent * 2**SCHEMA + 1: 2}
        if exponent == -30:
            expected = {exponent * 2**SCHEMA + 1: 2}
        assert expected == read_native(to_native(histogram))


def test_small_gaps_are_zeros_and_large_ones_a_new_span() -> None:
    """Neighbours share a span, as do buckets with two empty ones between them; three begin another."""
    histogram = Histogram()
    for index, count in ((1, 5), (2, 7), (5, 1), (9, 2)):
        histogram.add([bucket_of(NATIVE_WIDTH ** (index - 0.5))], [count])
    native = to_native(histogram)
    assert [(1, 5), (3, 1)] == list(native.spans)
    assert {1: 5, 2: 7, 3: 0, 4: 0, 5: 1, 9: 2} == read_native(native)


def test_the_error_is_what_is_promised() -> None:
    """Any point of a native bucket is within 3 % of any duration that is counted in it."""
    assert 1.03 > NATIVE_WIDTH * 1.0078
