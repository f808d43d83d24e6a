"""Two windows side by side: what changed, by how much, and whether chance alone would explain it.

Owns what a change is and when it counts. Does not know where the windows came from: saves, versions, spans of the
history, files of other hosts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import hypot
from typing import Final

from chronoprof_sidecar.domain.intervals import Interval, mean_interval, percentile_intervals
from chronoprof_sidecar.domain.statistics import FunctionStatistics

_PERCENTS: Final = (50, 95, 99)
DURATIONS: Final = ("avg_time", *(f"p{percent}_time" for percent in _PERCENTS))
"""The figures that have an interval, and so a verdict."""


class Verdict(StrEnum):
    """What can be said about a change."""

    SLOWER = "slower"
    FASTER = "faster"
    NOISE = "noise"
    """Chance alone may have done it."""
    NOT_ENOUGH = "not enough"
    """Too few calls on one side to say."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two windows: rows by function name, and how long it was."""

    rows: Mapping[str, FunctionStatistics]
    seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One function on one side; durations in seconds."""

    calls: int
    errors: int
    rate: float | None
    """Calls per second; None where the window has no length."""
    share: float
    """Of the total time of all functions on this side, 0 to 1."""
    durations: Mapping[str, float]
    """By the names in `DURATIONS`."""
    intervals: Mapping[str, Interval | None]


@dataclass(frozen=True, slots=True)
class Change:
    """One function on both sides; None where it was not called."""

    function_name: str
    base: Figures | None
    head: Figures | None
    verdicts: Mapping[str, Verdict]
    """By the names in `DURATIONS`; empty unless it was called on both sides."""

    def ratio(self, duration: str) -> float | None:
        """Return head over base of one of `DURATIONS`; None where there are not both, or the base is 0."""
        if self.base is None or self.head is None or not self.base.durations[duration]:
            return None
        return self.head.durations[duration] / self.base.durations[duration]


def compare(base: Side, head: Side, *, min_calls: int = 1) -> list[Change]:
    """Return a change for every function of either side, the largest first.

    Largest is the time that the change costs or saves: the difference of the means times the head's calls. Functions
    that were called on one side alone come last, by their total time.

    Args:
        base: what is compared with.
        head: what is compared.
        min_calls: with fewer calls on either side every verdict is `NOT_ENOUGH`.
    """
    names = base.rows.keys() | head.rows.keys()
    base_figures, head_figures = dict(_figures_of(base)), dict(_figures_of(head))
    changes = [_change(name, base_figures.get(name), head_figures.get(name), min_calls) for name in sorted(names)]
    return sorted(changes, key=_importance, reverse=True)


def _figures_of(side: Side) -> Iterable[tuple[str, Figures]]:
    total_ns = sum(row.total_ns for row in side.rows.values())
    for name, row in side.rows.items():
        durations = [row.avg_time, *row.percentiles(_PERCENTS)]
        intervals = [mean_interval(row), *percentile_intervals(row, _PERCENTS)]
        yield (
            name,
            Figures(
                calls=row.calls,
                errors=row.errors,
                rate=row.calls / side.seconds if side.seconds > 0 else None,
                share=row.total_ns / total_ns if total_ns else 0.0,
                durations=dict(zip(DURATIONS, durations, strict=True)),
                intervals=dict(zip(DURATIONS, intervals, strict=True)),
            ),
        )


def _change(name: str, base: Figures | None, head: Figures | None, min_calls: int) -> Change:
    if base is None or head is None:
        return Change(name, base, head, {})
    enough = min(base.calls, head.calls) >= min_calls
    verdicts = {duration: _judge(base, head, duration) if enough else Verdict.NOT_ENOUGH for duration in DURATIONS}
    return Change(name, base, head, verdicts)


def _judge(base: Figures, head: Figures, duration: str) -> Verdict:
    """Tell a change from chance: is 0 outside the 99 % interval of the difference?

    That interval follows from those of the two values, h - b - √((h-hlow)² + (bhigh-b)²) being its lower end and the
    mirror image its upper (Zou and Donner, "Construction of confidence limits about effect measures", Statistics in
    Medicine 27, 2008).
    """
    before, after = base.intervals[duration], head.intervals[duration]
    if before is None or after is None:
        return Verdict.NOT_ENOUGH
    base_value, head_value = base.durations[duration], head.durations[duration]
    difference = head_value - base_value
    if difference > hypot(head_value - after.low, before.high - base_value):
        return Verdict.SLOWER
    if -difference > hypot(after.high - head_value, base_value - before.low):
        return Verdict.FASTER
    return Verdict.NOISE


def _importance(change: Change) -> tuple[bool, float]:
    base, head = change.base, change.head
    if base is not None and head is not None:
        return True, abs(head.durations["avg_time"] - base.durations["avg_time"]) * head.calls
    only = base or head
    return False, only.durations["avg_time"] * only.calls if only else 0.0
