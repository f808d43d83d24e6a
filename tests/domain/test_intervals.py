"""Confidence intervals enclose what they should as often as they say, and are absent where nothing can be said."""

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.intervals import mean_interval, percentile_intervals
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.protocol import NANOSECONDS
from tests.domain.building import bounded, duration_lists, statistics

TRIALS = 200
CALLS = 1000
PERCENTS = (50, 95, 99)


@pytest.fixture(scope="module")
def samples() -> list[FunctionStatistics]:
    """Return samples of durations as services have them: 10 ms in the median, with a long tail."""
    random = Random(20261123)
    return [statistics([round(random.lognormvariate(0, 0.7) * 1e7) for _ in range(CALLS)]) for _ in range(TRIALS)]


@pytest.mark.parametrize(("percent", "normal"), [(50, 0.0), (95, 1.6449), (99, 2.3263)])
def test_a_percentile_is_enclosed_as_often_as_promised(
    samples: list[FunctionStatistics], percent: int, normal: float
) -> None:
    """Of 200 samples of a known distribution at least 98 % have an interval around the true percentile."""
    true_seconds = exp(0.7 * normal) * 1e-2
    enclosed = 0
    for sample in samples:
        (interval,) = percentile_intervals(sample, [percent])
        assert interval is not None
        enclosed += interval.low <= true_seconds <= interval.high
    assert enclosed >= 0.98 * TRIALS


def test_a_mean_is_enclosed_as_often_as_promised(samples: list[FunctionStatistics]) -> None:
    """Of 200 samples of a known distribution at least 97 % have an interval around the true mean."""
    true_seconds = exp(0.7**2 / 2) * 1e-2
    enclosed = 0
    for sample in samples:
        interval = mean_interval(sample)
        assert interval is not None
        enclosed += interval.low <= true_seconds <= interval.high
    assert enclosed >= 0.97 * TRIALS


@pytest.mark.parametrize(("percent", "least_calls"), [(50, 11), (95, 164), (99, 846)])
def test_too_few_calls_have_no_interval(percent: int, least_calls: int) -> None:
    """A percentile has an interval from that many calls on whose ranks exist on both sides, and never before."""
    row = statistics([1000])
    found = []
    for _ in range(1200):
        found.append(percentile_intervals(row, [percent])[0] is not None)
        row.merge(statistics([1000]))
    assert found.index(True) + 1 == least_calls
    assert all(found[found.index(True) :])


def test_a_few_calls_have_no_mean_interval() -> None:
    """Below 30 calls a mean is not nearly normal."""
    assert mean_interval(statistics([1000] * 29)) is None
    assert mean_interval(statistics([1000] * 30)) is not None


@bounded
@given(st.lists(duration_lists, min_size=1, max_size=30))
def test_an_interval_holds_its_percentile_and_stays_within_the_extremes(lists: list[list[int]]) -> None:
    """What is shown as the percentile lies inside its interval, which lies between the fastest and the slowest call."""
    row = statistics([duration for durations in lists for duration in durations])
    for value, interval in zip(row.percentiles(PERCENTS), percentile_intervals(row, PERCENTS), strict=True):
        if interval is not None:
            assert row.min_ns / NANOSECONDS <= interval.low <= value <= interval.high <= row.max_ns / NANOSECONDS
