"""History: what was counted minute by minute, and longer ago hour by hour, put together into steps.

Owns which steps a question has and what each of them counts. Does not know where minutes are kept, nor the time of day.
All times are whole minutes of Unix time, and every stretch of them is half-open.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Rows, Selection
from chronoprof_sidecar.protocol import NANOSECONDS, OTHER

MINUTE_NS: Final = 60 * NANOSECONDS
HOUR_MINUTES: Final = 60
ALL: Final = ""
"""The name of the one row that merges all functions; no function has it."""

_AUTOMATIC_STEPS: Final = 120
"""Steps that a span is cut into at most: a plot of 80 columns or 800 points shows no more."""
_ROUND_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440)


class Span(NamedTuple):
    """A stretch of time: a minute, or the part of an hour that is kept as one."""

    start: int
    end: int

    def overlaps(self, other: "Span") -> bool:
        """Say whether the two have a minute in common."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """What is asked of the history."""

    selection: Selection
    span: Span
    step_minutes: int | None = None
    """None: the whole span is one step."""
    per_function: bool = True
    """Whether each function has its own row; otherwise all that are selected are merged into the row `ALL`."""


@dataclass(slots=True)
class Step:
    """What one step of the answer counts."""

    span: Span
    rows: Rows = field(default_factory=dict)
    losses: dict[str, Losses] = field(default_factory=dict)
    """Per service."""
    resolution_minutes: int = 1
    """The longest stretch in it that is kept as one."""


class History:
    """The answer to a query: steps that follow upon each other and count every call of their span exactly once.

    Where only an hour is left of what a step asks a part of, the hour is not divided: the steps that it touches
    become one, and a span that begins or ends inside it is widened to hold it whole.
    """

    def __init__(self, query: HistoryQuery, kept: Iterable[Span], earliest: int | None, max_functions: int) -> None:
        """Prepare the steps.

        Args:
            query: what is asked.
            kept: the stretches that overlap with the span asked for, in any order.
            earliest: the first minute of all that is kept; nothing is known of the time before it.
            max_functions: names that get a row; calls of others are counted under `_other`.
        """
        self._per_function = query.per_function
        self._max_functions = max_functions
        self._names: set[str] = set()
        self.services: set[str] = set()
        """All that have rows or losses in the answer."""
        pieces = list(kept)
        start = query.span.start if earliest is None else max(query.span.start, min(earliest, query.span.end - 1))
        start = min([start, *(piece.start for piece in pieces)])
        end = max([query.span.end, *(piece.end for piece in pieces)])
        self.span = Span(start, end)
        """What the answer covers, which may be less or more than was asked for."""
        self.steps = [Step(span) for span in cut(self.span, query.step_minutes, pieces)]
        self._starts = [step.span.start for step in self.steps]
        for piece in pieces:
            step = self._step_of(piece)
            step.resolution_minutes = max(step.resolution_minutes, piece.end - piece.start)

    def count(self, span: Span, key: RowKey, row: FunctionStatistics) -> None:
        """Count a row of a kept stretch; the row stays as it is."""
        step = self._step_of(span)
        self.services.add(key.service)
        name = self._name_of(key.function_name) if self._per_function else ALL
        if name == OTHER != key.function_name:
            self.lose(span, key.service, Losses(overflowed=row.calls))
        present = step.rows.get(name)
        if present is None:
            step.rows[name] = row.copy()
        else:
            present.merge(row)

    def lose(self, span: Span, service: str, losses: Losses) -> None:
        """Count loss figures of a kept stretch."""
        self.services.add(service)
        self._step_of(span).losses.setdefault(service, Losses()).merge(losses)

    def losses(self) -> dict[str, Losses]:
        """Return the figures of all steps together, per service."""
        total: dict[str, Losses] = {}
        for step in self.steps:
            for service, losses in step.losses.items():
                total.setdefault(service, Losses()).merge(losses)
        return total

    def _name_of(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= self._max_functions:
                return OTHER
            self._names.add(name)
        return name

    def _step_of(self, span: Span) -> Step:
        return self.steps[bisect_right(self._starts, span.start) - 1]


def covering(since_ns: int, until_ns: int) -> Span:
    """Return the whole minutes that hold every moment from `since_ns` to before `until_ns`, in Unix time."""
    return Span(since_ns // MINUTE_NS, -(-until_ns // MINUTE_NS))


def cut(span: Span, step_minutes: int | None, pieces: Iterable[Span] = ()) -> list[Span]:
    """Cut a span at the multiples of a step, but nowhere inside a piece; None does not cut at all."""
    if step_minutes is None:
        return [span]
    first = (span.start // step_minutes + 1) * step_minutes
    edges = set(range(first, span.end, step_minutes))
    for piece in pieces:
        if piece.end - piece.start > 1:
            edges.difference_update(range(piece.start + 1, piece.end))
    return [Span(*edge) for edge in pairwise([span.start, *sorted(edges), span.end])]


def round_step(span: Span) -> int:
    """Return a step in minutes that people count in, and that cuts `span` into 120 at most."""
    least = -(-(span.end - span.start) // _AUTOMATIC_STEPS)
    for minutes in _ROUND_MINUTES:
        if minutes >= least:
            return minutes
    day = _ROUND_MINUTES[-1]
    return -(-least // day) * day
