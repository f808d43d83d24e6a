"""Two windows side by side: what changed, by how much, and whether chance alone would explain it.

Owns what a change is and when it counts. Does not know where the windows came from: saves, versions, spans of the
history, files of other hosts.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from math import hypot
from typing import Final

from chronoprof_sidecar.domain.intervals import Interval, mean_interval, percentile_intervals
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import merge_by_name
from chronoprof_sidecar.protocol import NANOSECONDS

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

    def difference(self, duration: str) -> float | None:
        """Return head less base of one of `DURATIONS`, in seconds; None where there are not both."""
        if self.base is None or self.head is None:
            return None
        return self.head.durations[duration] - self.base.durations[duration]

    def ratio(self, duration: str) -> float | None:
        """Return head over base of one of `DURATIONS`; None where there are not both, or the base is 0."""
        if self.base is None or self.head is None or not self.base.durations[duration]:
            return None
        return self.head.durations[duration] / self.base.durations[duration]


def side_of(window: Snapshot) -> Side:
    """Return a window as a side: rows merged over their labels; the window stays as it is."""
    return Side(merge_by_name(window.rows), (window.taken_ns - window.window_start_ns) / NANOSECONDS)


def largest_first(base: Side, head: Side, *, only: str | None = None) -> list[str]:
    """Return the names of the functions of either side, those with the largest change first.

    Largest is the time that the change costs or saves: the difference of the means times the head's calls. Functions
    that were called on one side alone come last, by their total time.

    Args:
        base: what is compared with.
        head: what is compared.
        only: a shell glob that names must match, case-sensitive.
    """
    names = sorted(name for name in base.rows.keys() | head.rows.keys() if only is None or fnmatchcase(name, only))
    return sorted(names, key=lambda name: _importance(base.rows.get(name), head.rows.get(name)), reverse=True)


def compare(base: Side, head: Side, names: Iterable[str], *, min_calls: int = 1) -> list[Change]:
    """Return a change for each of `names`, functions of either side, in their order.

    Args:
        base: what is compared with.
        head: what is compared.
        names: as `largest_first` returns them, or some of those.
        min_calls: with fewer calls a side has no intervals, so that every verdict on it is `NOT_ENOUGH`.
    """
    base_figures, head_figures = _figures_of(base, min_calls), _figures_of(head, min_calls)
    return [_change(name, base_figures(name), head_figures(name)) for name in names]


def _figures_of(side: Side, min_calls: int) -> Callable[[str], Figures | None]:
    total_ns = sum(row.total_ns for row in side.rows.values())

    def figures(name: str) -> Figures | None:
        row = side.rows.get(name)
        if row is None:
            return None
        durations = [row.avg_time, *row.percentiles(_PERCENTS)]
        enough = row.calls >= min_calls
        intervals = [mean_interval(row), *percentile_intervals(row, _PERCENTS)] if enough else [None] * len(durations)
        return Figures(
            calls=row.calls,
            errors=row.errors,
            rate=row.calls / side.seconds if side.seconds > 0 else None,
            share=row.total_ns / total_ns if total_ns else 0.0,
            durations=dict(zip(DURATIONS, durations, strict=True)),
            intervals=dict(zip(DURATIONS, intervals, strict=True)),
        )

    return figures


def _change(name: str, base: Figures | None, head: Figures | None) -> Change:
    if base is None or head is None:
        return Change(name, base, head, {})
    return Change(name, base, head, {duration: _judge(base, head, duration) for duration in DURATIONS})


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


def _importance(base: FunctionStatistics | None, head: FunctionStatistics | None) -> tuple[bool, float]:
    if base is not None and head is not None:
        return True, abs(head.avg_time - base.avg_time) * head.calls
    only = base or head
    return False, only.total_ns if only else 0.0
