"""A gate lets an equal release pass and stops a slower one, every time, on durations such as services have."""

from random import Random

import pytest

from chronoprof_sidecar.domain.compare import Change, Side, compare
from chronoprof_sidecar.domain.conditions import Condition
from tests.domain.building import statistics
from tests.wire.windows import lognormal

RELEASES = 20
CALLS = 4000
FUNCTIONS = {"GET /recall/{id}": (8e6, 0.01), "POST /observe": (3e7, 0.002), "shop.db:query": (4e5, 0.03)}
"""Median in nanoseconds, and how many of all calls meet something twenty times as slow."""
GATE = [Condition.parse(text) for text in ("p95_time > 1.2x", "p50_time > 1.2x", "avg_time > 1.25x")]


def release(random: Random, factor: float = 1.0) -> Side:
    """Return what a release was measured to take, `factor` times as long as others."""
    return Side(
        {
            name: statistics(lognormal(random, median_ns * factor, CALLS, outliers=outliers))
            for name, (median_ns, outliers) in FUNCTIONS.items()
        },
        60.0,
    )


def is_stopped(changes: list[Change]) -> bool:
    """Say whether any function met any condition."""
    return any(condition.is_met(change) for condition in GATE for change in changes)


@pytest.fixture(scope="module")
def bases() -> list[Side]:
    """Return the releases that are out already."""
    random = Random(20261126)
    return [release(random) for _ in range(RELEASES)]


@pytest.mark.parametrize(("factor", "stopped"), [(1.0, 0), (1 / 1.3, 0), (1.3, RELEASES)])
def test_twenty_of_twenty(bases: list[Side], factor: float, stopped: int) -> None:
    """Equal releases pass, and faster ones; those 1.3 times as slow are stopped."""
    random = Random(20261127)
    assert stopped == sum(is_stopped(compare(base, release(random, factor), FUNCTIONS)) for base in bases)


@pytest.mark.parametrize("slower", FUNCTIONS)
def test_one_slow_function_is_enough(slower: str) -> None:
    """A release in which one function alone is 1.3 times as slow is stopped, and that function is the reason."""
    random = Random(7)
    base, equal, slow = release(random), release(random), release(random, 1.3)
    head = Side({**equal.rows, slower: slow.rows[slower]}, 60.0)
    changes = compare(base, head, FUNCTIONS)
    assert {slower} == {change.function_name for change in changes if is_stopped([change])}
