import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.histogram import Histogram
from chronoprof_sidecar.protocol import MAX_DURATION_SECONDS, bucket_bounds, bucket_of
from tests.domain.building import bounded

Counts = dict[int, int]
LAST_BUCKET = bucket_of(MAX_DURATION_SECONDS)

small_counts = st.integers(1, 1000)
any_counts = st.one_of(small_counts, st.integers(2**62, 2**66))


def buckets_of(counts: st.SearchStrategy[int]) -> st.SearchStrategy[Counts]:
    """Return counts by bucket, near each other or far apart."""
    near = st.dictionaries(st.integers(7900, 8100), counts, max_size=20)
    return near | st.dictionaries(st.integers(0, LAST_BUCKET), counts, max_size=5)


def histogram_of(counts: Counts, *, times: int = 1) -> Histogram:
    """Return a histogram of counts by bucket."""
    histogram = Histogram()
    if counts:
        buckets = sorted(counts)
        histogram.add(buckets, [counts[bucket] for bucket in buckets], times=times)
    return histogram


def content_of(histogram: Histogram) -> Counts:
    """Return what a histogram counts, by bucket."""
    return dict(zip(*histogram.to_sparse(), strict=True))


def sum_of(parts: list[Counts]) -> Counts:
    """Return the counts of all parts together, without a histogram."""
    return {bucket: sum(part.get(bucket, 0) for part in parts) for part in parts for bucket in part}


@bounded
@given(st.lists(buckets_of(any_counts), max_size=6), st.randoms(use_true_random=False))
def test_merging_is_counting_everything_in_one(parts: list[Counts], chance: random.Random) -> None:
    """Merged in any order and any grouping, histograms count what one histogram of all would, however large."""
    merged = [histogram_of(part) for part in parts] or [Histogram()]
    while len(merged) > 1:
        one = merged.pop(chance.randrange(len(merged)))
        merged[chance.randrange(len(merged))].merge(one)
    expected = sum_of(parts)
    assert expected == content_of(merged[0])
    assert sum(expected.values()) == merged[0].count


@bounded
@given(st.lists(st.tuples(buckets_of(any_counts), st.booleans()), max_size=6))
def test_adding_is_counting_everything_in_one(parts: list[tuple[Counts, bool]]) -> None:
    """Added one after the other, counts sum up exactly, whichever part of the range each one needs, read or not."""
    histogram = Histogram()
    for number, (part, is_read) in enumerate(parts, 1):
        if part:
            histogram.add(sorted(part), [part[bucket] for bucket in sorted(part)])
        if is_read or number == len(parts):
            assert sum_of([part for part, _ in parts[:number]]) == content_of(histogram)


@bounded
@given(buckets_of(any_counts), buckets_of(any_counts))
def test_merging_leaves_the_other_as_it_was(mine: Counts, other: Counts) -> None:
    """A merge changes neither what it merges nor a copy made before it."""
    histogram, merged = histogram_of(mine), histogram_of(other)
    copy = histogram.copy()
    histogram.merge(merged)
    histogram.merge(merged)
    assert other == content_of(merged)
    assert (mine, sum(mine.values())) == (content_of(copy), copy.count)


@bounded
@given(buckets_of(any_counts).filter(bool), buckets_of(any_counts).filter(bool))
def test_a_copy_and_its_original_go_their_own_ways(before: Counts, after: Counts) -> None:
    """What is added to one of them does not reach the other, also where nobody has read what they have in common."""
    histogram = histogram_of(before)
    first, second = histogram.copy(), histogram.copy()
    for part in (after, before):
        second.add(sorted(part), [part[bucket] for bucket in sorted(part)])
    histogram.merge(first)
    assert before == content_of(first)
    assert sum_of([before, after, before]) == content_of(second)
    assert sum_of([before, before]) == content_of(histogram)


@bounded
@given(buckets_of(any_counts))
def test_a_histogram_merged_into_itself_doubles(counts: Counts) -> None:
    """Merging a histogram into itself counts everything twice."""
    histogram = histogram_of(counts)
    histogram.merge(histogram)
    assert {bucket: 2 * count for bucket, count in counts.items()} == content_of(histogram)


@bounded
@given(buckets_of(any_counts), st.integers(1, 10**6))
def test_sampling_multiplies_every_count(counts: Counts, times: int) -> None:
    """Adding with `times` is adding so many times."""
    histogram = histogram_of(counts, times=times)
    assert {bucket: count * times for bucket, count in counts.items()} == content_of(histogram)
    assert sum(counts.values()) * times == histogram.count


def test_a_duration_of_zero_takes_no_room() -> None:
    """Zeros beside ordinary durations widen nothing, and are the lowest ranks."""
    histogram = histogram_of({0: 3, 8000: 1})
    histogram.merge(histogram_of({0: 5}))
    histogram.add([0, 8001], [1, 1], times=2)
    assert {0: 10, 8000: 1, 8001: 2} == content_of(histogram)
    assert 2 == len(histogram.counts)
    zero, last_zero, low, high = histogram.percentiles([0, 76, 77, 100])
    assert (0.0, 0.0) == (zero, last_zero)
    assert 0.0 < low < high


def test_counts_stay_exact_where_64_bits_end() -> None:
    """The count after 2^64 - 1 is 2^64, in one bucket and in the sum."""
    histogram = histogram_of({8000: 2**64 - 1})
    assert isinstance(histogram.counts, array)
    histogram.add([8000], [1])
    histogram.add([7999, 8001], [1, 2])
    assert {7999: 1, 8000: 2**64, 8001: 2} == content_of(histogram)
    assert 2**64 + 3 == histogram.count


def test_ranks_stay_exact_where_floats_end() -> None:
    """One call among 10^20 decides which bucket the 99th percentile falls into."""
    most = 99 * 10**18
    exactly = histogram_of({8000: most, 8100: 10**18})
    one_more = histogram_of({8000: most, 8100: 10**18 + 1})
    low, high = exactly.percentiles([98, 100])
    assert low < high
    assert low == exactly.percentiles([99])[0]
    assert high == one_more.percentiles([99])[0]


@pytest.mark.parametrize(
    ("percent", "rank"), [(0, 1), (1, 1), (10, 1), (11, 2), (50, 5), (51, 6), (90, 9), (91, 10), (100, 10)]
)
def test_a_percentile_is_the_smallest_value_with_enough_at_or_below(percent: int, rank: int) -> None:
    """The percentile p of ten values is the one of rank ceil(p/10), and at least the first."""
    histogram = histogram_of({8000 + n: 1 for n in range(1, 11)})
    low, high = bucket_bounds(8000 + rank)
    assert low < histogram.percentiles([percent])[0] < high


@bounded
@given(st.lists(buckets_of(any_counts).filter(bool), min_size=1, max_size=4))
def test_percentiles_see_what_was_just_added(parts: list[Counts]) -> None:
    """It makes no difference to a percentile whether the counts were read before."""
    histogram = Histogram()
    for part in parts:
        histogram.add(sorted(part), [part[bucket] for bucket in sorted(part)])
    unread = histogram.percentiles(range(101))
    assert sum_of(parts) == content_of(histogram)
    assert unread == histogram.percentiles(range(101))


@bounded
@given(buckets_of(any_counts).filter(bool))
def test_percentiles_rise(counts: Counts) -> None:
    """A higher percentile is never a shorter duration."""
    percentiles = histogram_of(counts).percentiles(range(101))
    assert sorted(percentiles) == percentiles


def test_an_empty_histogram_has_no_percentiles() -> None:
    """There is no duration to name when none was counted."""
    with pytest.raises(ValueError, match="empty"):
        Histogram().percentiles([50])


def test_nothing_added_is_nothing_kept() -> None:
    """Merging an empty histogram, either way, changes nothing."""
    histogram = histogram_of({8000: 3})
    histogram.merge(Histogram())
    empty = Histogram()
    empty.merge(histogram)
    assert [{8000: 3}, {8000: 3}] == [content_of(histogram), content_of(empty)]
    assert {} == content_of(Histogram())


def test_the_midpoint_is_within_the_promised_error_of_its_whole_bucket() -> None:
    """In every bucket from 1 ns to 10 days the answer is at most 0.776 % off both ends."""
    worst = 0.0
    for bucket in range(bucket_of(1e-9), bucket_of(864_000) + 1):
        (answer,) = histogram_of({bucket: 1}).percentiles([50])
        worst = max(worst, *(abs(answer - end) / end for end in bucket_bounds(bucket)))
    assert 0.007 < worst <= 0.00776


def test_neighbouring_buckets_cost_eight_bytes_each() -> None:
    """300 neighbouring buckets are one flat array of 2.4 kB."""
    histogram = histogram_of(dict.fromkeys(range(8000, 8300), 1))
    assert isinstance(histogram.counts, array)
    assert 2400 == len(histogram.counts) * histogram.counts.itemsize
