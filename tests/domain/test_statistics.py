import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.statistics import FunctionStatistics, statistics_of
from chronoprof_sidecar.protocol import MAX_DURATION_NS, NANOSECONDS
from tests.domain.building import aggregate, bounded, duration_lists, figures, statistics

PERCENTS = (0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100)
BOUND = 0.00776

DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "uniform": lambda chance: chance.uniform(1e6, 1e9),
    "lognormal": lambda chance: chance.lognormvariate(math.log(20e6), 2),
    "exponential": lambda chance: chance.expovariate(1 / 50e6),
    "constant": lambda _: 123_456_789,
    "bimodal": lambda chance: chance.gauss(2e6, 2e5) if chance.random() < 0.9 else chance.gauss(3e9, 1e8),
    "pareto": lambda chance: 1e5 * chance.paretovariate(0.8),
    "tiny": lambda chance: chance.randint(1, 100),
    "huge": lambda chance: chance.uniform(0.5, 1) * MAX_DURATION_NS,
    "all magnitudes": lambda chance: 10 ** chance.uniform(0, math.log10(MAX_DURATION_NS)),
}


def draw(distribution: str, size: int) -> list[int]:
    """Return durations in whole nanoseconds, from 1 ns to 10 days, the same in every run."""
    chance = random.Random(f"{distribution} {size}")
    return [min(max(1, round(DISTRIBUTIONS[distribution](chance))), MAX_DURATION_NS) for _ in range(size)]


def exact_percentiles(durations: Sequence[int]) -> list[float]:
    """Return the smallest durations in seconds with at least p percent of all at or below them."""
    ordered = sorted(durations)
    return [ordered[max(1, -(-percent * len(ordered) // 100)) - 1] / NANOSECONDS for percent in PERCENTS]


def worst_error(durations: Sequence[int], row: FunctionStatistics) -> float:
    """Return the largest relative error of the row's percentiles."""
    pairs = zip(exact_percentiles(durations), row.percentiles(PERCENTS), strict=True)
    return max(abs(answer - exact) / exact for exact, answer in pairs)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 100, 1000, 5000])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_percentiles_are_within_the_promised_error(distribution: str, size: int) -> None:
    """Whatever the distribution and the number of calls, no percentile is off by more than 0.776 %."""
    durations = draw(distribution, size)
    assert worst_error(durations, statistics(durations)) <= BOUND


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_percentiles_of_many_workers_are_within_the_promised_error(distribution: str) -> None:
    """Merged from seven workers of unequal load, percentiles are as right as those of one."""
    durations = draw(distribution, 2000)
    edges = [0, 1, 10, 50, 200, 900, 1500, 2000]
    row = statistics(durations[: edges[1]])
    for start, end in pairwise(edges[1:]):
        row.merge(statistics(durations[start:end]))
    assert worst_error(durations, row) <= BOUND
    assert statistics(durations).percentiles(PERCENTS) == row.percentiles(PERCENTS)


@bounded
@given(duration_lists.map(lambda durations: [max(1, each) for each in durations]))
def test_percentiles_of_any_durations_are_within_the_promised_error(durations: list[int]) -> None:
    """No choice of durations from 1 ns up makes a percentile wrong by more than 0.776 %."""
    assert worst_error(durations, statistics(durations)) <= BOUND


@bounded
@given(duration_lists)
def test_percentiles_rise_within_the_extremes(durations: list[int]) -> None:
    """Percentiles are monotone and none lies outside the shortest and the longest call."""
    percentiles = statistics(durations).percentiles(range(101))
    assert sorted(percentiles) == percentiles
    assert min(durations) / NANOSECONDS <= percentiles[0]
    assert percentiles[-1] <= max(durations) / NANOSECONDS


@bounded
@given(st.lists(st.tuples(duration_lists, st.integers(0, 2**60)), min_size=1, max_size=6), st.randoms())
def test_merging_is_counting_everything_in_one(parts: list[tuple[list[int], int]], chance: random.Random) -> None:
    """Merged in any order and grouping, rows are the row of all calls, to the nanosecond."""
    rows = [statistics(durations, errors=1, arrived_ns=arrived) for durations, arrived in parts]
    while len(rows) > 1:
        one = rows.pop(chance.randrange(len(rows)))
        rows[chance.randrange(len(rows))].merge(one)
    together = statistics([each for durations, _ in parts for each in durations], errors=len(parts))
    together.first_seen_ns = min(arrived for _, arrived in parts)
    together.last_seen_ns = max(arrived for _, arrived in parts)
    assert figures(together) == figures(rows[0])


@bounded
@given(st.lists(duration_lists, min_size=1, max_size=6))
def test_adding_is_merging(parts: list[list[int]]) -> None:
    """A row that counts aggregates one after the other is the merge of the rows of each."""
    added, merged = statistics(parts[0], arrived_ns=1), statistics(parts[0], arrived_ns=1)
    for part in parts[1:]:
        added.add(aggregate(part, errors=1), 5)
        merged.merge(statistics(part, errors=1, arrived_ns=5))
    assert figures(merged) == figures(added)


@bounded
@given(duration_lists, st.integers(1, 10**6))
def test_sampling_multiplies_all_but_the_extremes(durations: list[int], every: int) -> None:
    """One recorded call in n stands for n calls, errors, totals and counts; minimum and maximum are what was seen."""
    sampled = statistics_of(aggregate(durations, errors=1, sample_every=every), 0)
    single = statistics(durations, errors=1)
    buckets, counts = single.histogram.to_sparse()
    assert (single.calls * every, every, single.total_ns * every) == (sampled.calls, sampled.errors, sampled.total_ns)
    assert (buckets, [count * every for count in counts]) == sampled.histogram.to_sparse()
    assert (min(durations), max(durations)) == (sampled.min_ns, sampled.max_ns)


@bounded
@given(duration_lists, duration_lists)
def test_a_copy_is_independent(durations: list[int], more: list[int]) -> None:
    """What is counted after copying does not reach the copy, nor the other way round."""
    row = statistics(durations)
    copy, before = row.copy(), figures(row)
    row.merge(statistics(more, errors=1, arrived_ns=9))
    assert before == figures(copy)
    after = figures(row)
    copy.merge(statistics(more))
    assert after == figures(row)


def test_late_and_early_arrivals_widen_what_was_seen() -> None:
    """`first_seen` and `last_seen` are the earliest and the latest arrival, in whichever order they are counted."""
    row = statistics([5], arrived_ns=50)
    row.add(aggregate([5]), 20)
    row.add(aggregate([5]), 70)
    assert (20, 70) == (row.first_seen_ns, row.last_seen_ns)


def test_the_average_of_equal_durations_is_that_duration() -> None:
    """It is never above the maximum by a rounding error, also where the total is beyond 2^53."""
    row = statistics_of(aggregate([3_295_016_953], sample_every=1), 0)
    row.histogram.add(row.histogram.to_sparse()[0], [480_964_441])
    row.total_ns = 480_964_442 * 3_295_016_953
    assert 3.295016953 == row.avg_time


def test_the_average_is_exact_beyond_what_floats_can_sum() -> None:
    """The mean is total / calls of exact integers, also where both are beyond 2^64."""
    row = statistics_of(aggregate([3 * NANOSECONDS], sample_every=10**6), 0)
    for _ in range(64):
        row.merge(row.copy())
    assert 10**6 * 2**64 == row.calls
    assert 3 * NANOSECONDS * 10**6 * 2**64 == row.total_ns
    assert 3.0 == row.avg_time


def test_zero_durations_are_zero() -> None:
    """Calls too short for the clock have percentiles of exactly zero and sort below all others."""
    assert [0.0, 0.0] == statistics([0]).percentiles([1, 100])
    assert [0.0, 0.0, 1.0] == statistics([0, NANOSECONDS, 0]).percentiles([0, 66, 100])
