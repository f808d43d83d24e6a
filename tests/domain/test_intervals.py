"""Confidence intervals enclose what they should as often as they say, and are absent where nothing can be said."""

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.intervals import mean_interval, percentile_intervals
from chronoprof_sidecar.protocol import NANOSECONDS
from tests.domain.building import bounded, duration_lists, statistics

TRIALS = 200
PERCENTS = (50, 95, 99)


def lognormal_ns(random: Random, calls: int) -> list[int]:
    """Return durations as services have them: 10 ms in the median, with a long tail."""
    return [round(random.lognormvariate(0, 0.7) * 1e7) for _ in range(calls)]


@pytest.mark.parametrize(("percent", "normal"), [(50, 0.0), (95, 1.6449), (99, 2.3263)])
def test_a_percentile_is_enclosed_as_often_as_promised(percent: int, normal: float) -> None:
    """Of 200 samples of a known distribution at least 98 % have an interval around the true percentile."""
    random = Random(20261123 + percent)
    true_seconds = exp(0.7 * normal) * 1e-2
    enclosed = 0
    for _ in range(TRIALS):
        (interval,) = percentile_intervals(statistics(lognormal_ns(random, 1000)), [percent])
        assert interval is not None
        enclosed += interval.low <= true_seconds <= interval.high
    assert enclosed >= 0.98 * TRIALS


def test_a_mean_is_enclosed_as_often_as_promised() -> None:
    """Of 200 samples of a known distribution at least 97 % have an interval around the true mean."""
    random = Random(20261123)
    true_seconds = exp(0.7**2 / 2) * 1e-2
    enclosed = 0
    for _ in range(TRIALS):
        interval = mean_interval(statistics(lognormal_ns(random, 1000)))
        assert interval is not None
        enclosed += interval.low <= true_seconds <= interval.high
    assert enclosed >= 0.97 * TRIALS


@pytest.mark.parametrize(("percent", "least_calls"), [(50, 11), (95, 164), (99, 846)])
def test_too_few_calls_have_no_interval(percent: int, least_calls: int) -> None:
    """A percentile has an interval from that many calls on whose ranks exist on both sides, and never before."""
    calls = list(range(1, 1200))
    found = [percentile_intervals(statistics([1000] * count), [percent])[0] is not None for count in calls]
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
