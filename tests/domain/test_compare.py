"""Comparing finds what changed, keeps quiet about noise, and says when it cannot tell."""

from random import Random

import pytest

from chronoprof_sidecar.domain.compare import DURATIONS, Change, Side, Verdict, compare, largest_first
from tests.domain.building import statistics

CALLS = 6000


def side(seconds: float = 100.0, **durations_ns: list[int]) -> Side:
    """Return a side of functions and their durations."""
    return Side({name: statistics(durations) for name, durations in durations_ns.items()}, seconds)


def noisy(random: Random, factor: float = 1.0, calls: int = CALLS) -> list[int]:
    """Return durations with a long tail, `factor` times 10 ms in the median."""
    return [round(random.lognormvariate(0, 0.5) * 1e7 * factor) for _ in range(calls)]


def changes_of(base: Side, head: Side, min_calls: int = 1) -> list[Change]:
    """Return every change, the largest first."""
    return compare(base, head, largest_first(base, head), min_calls=min_calls)


def only(changes: list[Change]) -> Change:
    """Return the one change there is."""
    (change,) = changes
    return change


def test_equal_releases_are_noise() -> None:
    """Of 30 pairs of equal releases no more verdicts say otherwise than a confidence of 99 % allows."""
    random = Random(7)
    verdicts = [
        verdict
        for _ in range(30)
        for verdict in only(changes_of(side(f=noisy(random)), side(f=noisy(random)))).verdicts.values()
    ]
    assert verdicts.count(Verdict.NOISE) >= 0.98 * len(verdicts)


@pytest.mark.parametrize(("factor", "verdict"), [(1.3, Verdict.SLOWER), (1 / 1.3, Verdict.FASTER)])
def test_a_changed_release_is_told_from_noise(factor: float, verdict: Verdict) -> None:
    """A release that takes 1.3 times as long, or as little, is found in every duration, twenty times out of twenty."""
    random = Random(8)
    for _ in range(20):
        change = only(changes_of(side(f=noisy(random)), side(f=noisy(random, factor))))
        assert dict.fromkeys(DURATIONS, verdict) == change.verdicts


def test_too_few_calls_say_so() -> None:
    """What was called a few times only is not judged, however different it looks; nor below the asked for number."""
    few = only(changes_of(side(f=[1000] * 10), side(f=[9000] * 10)))
    asked = only(changes_of(side(f=[1000] * CALLS), side(f=[9000] * CALLS), min_calls=CALLS + 1))
    assert dict.fromkeys(DURATIONS, Verdict.NOT_ENOUGH) == few.verdicts == asked.verdicts


def test_a_function_of_one_side_has_no_verdict() -> None:
    """A function that is new or gone is shown with the figures it has."""
    new, gone = changes_of(side(gone=[1000]), side(new=[1000, 2000]))
    assert ("new", None, "gone", None) == (new.function_name, new.base, gone.function_name, gone.head)
    assert ({}, {}, None) == (new.verdicts, gone.verdicts, new.ratio("avg_time"))


def test_figures_of_a_side() -> None:
    """Calls, errors, rate, share and durations are those of the rows."""
    changes = changes_of(side(f=[3000] * 3, g=[1000]), side(50.0, f=[6000] * 4, g=[8000] * 2))
    change = next(change for change in changes if change.function_name == "f")
    assert change.base is not None
    assert change.head is not None
    assert (3, 0.03, 0.9) == (change.base.calls, change.base.rate, change.base.share)
    assert (4, 0.08, 0.6) == (change.head.calls, change.head.rate, change.head.share)
    assert 2.0 == change.ratio("avg_time") == change.ratio("p99_time")


def test_a_side_without_length_has_no_rate() -> None:
    """A window that has just begun has calls but no rate."""
    change = only(changes_of(side(0.0, f=[1000]), side(f=[1000])))
    assert change.base is not None
    assert change.base.rate is None


def test_zero_has_no_ratio() -> None:
    """What took no time at all cannot take a multiple of it."""
    assert only(changes_of(side(f=[0]), side(f=[1000]))).ratio("avg_time") is None


def test_the_change_that_costs_most_comes_first() -> None:
    """Changes are ordered by what they cost or save in all, those of one side alone last."""
    base = side(often=[1000] * 900, slow=[10_000_000], gone=[10**9], small=[1000] * 10, steady=[10**8])
    head = side(often=[9000] * 900, slow=[19_000_000], small=[1500] * 10, steady=[10**8])
    assert ["slow", "often", "small", "steady", "gone"] == [change.function_name for change in changes_of(base, head)]
