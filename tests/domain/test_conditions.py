"""Conditions of a gate are read as written, and met only by what chance does not explain."""

import pytest

from chronoprof_sidecar.domain.compare import Change, Side, compare
from chronoprof_sidecar.domain.conditions import Condition, Kind
from chronoprof_sidecar.errors import MalformedRequestError
from tests.domain.building import statistics


def change(base_ns: int, head_ns: int, calls: int = 1000) -> Change:
    """Return the change of a function that always takes as long."""
    base, head = (Side({"f": statistics([duration] * calls)}, 1.0) for duration in (base_ns, head_ns))
    (found,) = compare(base, head, ["f"])
    return found


@pytest.mark.parametrize(
    ("text", "duration", "kind", "limit"),
    [
        ("p95_time > 1.2x", "p95_time", Kind.RATIO, 1.2),
        ("p99_time>250ms", "p99_time", Kind.VALUE, 0.25),
        (" avg_time > +5 ms ", "avg_time", Kind.GROWTH, 0.005),
        ("p50_time > .5s", "p50_time", Kind.VALUE, 0.5),
        ("p50_time > +10µs", "p50_time", Kind.GROWTH, 1e-5),
    ],
)
def test_conditions_are_read(text: str, duration: str, kind: Kind, limit: float) -> None:
    """A factor, a limit or a growth, in any unit of time."""
    condition = Condition.parse(text)
    assert (text, duration, kind) == (str(condition), condition.duration, condition.kind)
    assert pytest.approx(limit) == condition.limit


@pytest.mark.parametrize(
    "text", ["", "p95_time", "p95_time < 1x", "p95 > 1.2x", "p95_time > +2x", "p95_time > 3 days", "p95_time > -1x"]
)
def test_what_is_no_condition_is_quoted(text: str) -> None:
    """A condition that cannot be understood is refused by an error that quotes it."""
    with pytest.raises(MalformedRequestError) as raised:
        Condition.parse(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("text", ["p95_time > 1.2", "p95_time > +5"])
def test_a_bare_number_is_no_limit(text: str) -> None:
    """A factor without its x would be so many seconds, which nothing ever exceeds: the unit is not optional."""
    with pytest.raises(MalformedRequestError, match=r"has no unit in .*; write a condition like 'p95_time > 1\.2x'"):
        Condition.parse(text)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p95_time > 1.2x", True),
        ("p95_time > 1.4x", False),
        ("avg_time > +2ms", True),
        ("avg_time > +4ms", False),
        ("p99_time > 12ms", True),
        ("p99_time > 14ms", False),
    ],
)
def test_a_slower_function_meets_what_it_exceeds(text: str, *, met: bool) -> None:
    """A function that went from 10 ms to 13 ms meets every condition below that, and none above."""
    assert met == Condition.parse(text).is_met(change(10_000_000, 13_000_000))


def test_a_faster_function_meets_no_growth() -> None:
    """What became faster meets no condition on growth, however small."""
    assert not Condition.parse("p95_time > 0.1x").is_met(change(13_000_000, 10_000_000))


@pytest.mark.parametrize("text", ["p95_time > 1.2x", "p95_time > +1ms", "p95_time > 1ms"])
def test_too_few_calls_are_said(text: str) -> None:
    """With too few calls a condition is neither met nor not."""
    assert Condition.parse(text).is_met(change(10_000_000, 90_000_000, calls=5)) is None


def test_a_function_of_one_side() -> None:
    """A new function has a value but no growth; one that is gone has neither."""
    row = {"f": statistics([10**7] * 1000)}
    new, gone = compare(Side({}, 1.0), Side(row, 1.0), row), compare(Side(row, 1.0), Side({}, 1.0), row)
    value, ratio = Condition.parse("p95_time > 1ms"), Condition.parse("p95_time > 1.2x")
    assert (True, False) == (value.is_met(new[0]), ratio.is_met(new[0]))
    assert (False, False) == (value.is_met(gone[0]), ratio.is_met(gone[0]))
