"""Conditions of a performance gate: `p95_time > 1.2x`, `p99_time > 250ms`, `avg_time > +5ms`.

Owns their grammar and what they mean for one change. Only what chance does not explain meets a condition: a gate that
stops equal releases is switched off within a week.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from chronoprof_sidecar.domain.compare import DURATIONS, Change, Verdict
from chronoprof_sidecar.errors import MalformedRequestError

_GRAMMAR: Final = re.compile(r"\s*(\w+)\s*>\s*(\+?)\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-zµ]*)\s*")
_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_FACTOR: Final = "x"


class Kind(Enum):
    """What the limit is a limit of."""

    RATIO = "head over base"
    GROWTH = "head less base, in seconds"
    VALUE = "head, in seconds"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; `str` of it is what its author wrote."""

    text: str
    duration: str
    kind: Kind
    limit: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the condition that `text` says.

        Raises:
            MalformedRequestError: the message quotes the condition and shows what one looks like.
        """
        found = _GRAMMAR.fullmatch(text)
        if found is None:
            raise MalformedRequestError(f"not a condition: {text!r}; write one like {_EXAMPLES}")
        duration, plus, number, unit = found.groups()
        if duration not in DURATIONS:
            raise MalformedRequestError(f"no duration {duration!r} in {text!r}; there are {', '.join(DURATIONS)}")
        if unit == _FACTOR and not plus:
            return cls(text, duration, Kind.RATIO, float(number))
        if not unit:
            raise MalformedRequestError(f"{plus + number} has no unit in {text!r}; write a condition like {_EXAMPLES}")
        if unit not in _SECONDS:
            raise MalformedRequestError(f"no unit {plus + unit!r} in {text!r}; write a condition like {_EXAMPLES}")
        return cls(text, duration, Kind.GROWTH if plus else Kind.VALUE, float(number) * _SECONDS[unit])

    def __str__(self) -> str:
        return self.text

    def is_met(self, change: Change) -> bool | None:
        """Say whether a change meets the condition; None where there are too few calls to say.

        A ratio or a growth counts once the head is slower beyond chance, a value once its whole interval is above the
        limit. A function that was called on one side alone has no ratio and no growth.
        """
        head = change.head
        if head is None:
            return False
        if self.kind is Kind.VALUE:
            interval = head.intervals[self.duration]
            return None if interval is None else interval.low > self.limit
        base = change.base
        if base is None:
            return False
        verdict = change.verdicts[self.duration]
        if verdict is Verdict.NOT_ENOUGH:
            return None
        before, after = base.durations[self.duration], head.durations[self.duration]
        least = before * self.limit if self.kind is Kind.RATIO else before + self.limit
        return verdict is Verdict.SLOWER and after > least


_EXAMPLES: Final = "'p95_time > 1.2x', 'p99_time > 250ms' or 'avg_time > +5ms'"
