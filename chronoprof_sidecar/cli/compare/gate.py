"""What the conditions of a gate say of the changes, in words.

Owns the sentences. When a condition is met belongs to `domain.conditions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from chronoprof_sidecar.cli.text import format_duration, name_some
from chronoprof_sidecar.domain.compare import Change
from chronoprof_sidecar.domain.conditions import Condition


@dataclass(frozen=True, slots=True)
class Gate:
    """Who met which condition, and who had too few calls to say."""

    conditions: Sequence[Condition]
    met: Sequence[tuple[Condition, Change]]
    unknown: Sequence[tuple[Condition, Change]]
    changes: Sequence[Change]
    judged: bool
    """Whether there was at least one verdict on a function that was called on both sides."""

    @classmethod
    def judge(cls, conditions: Sequence[Condition], changes: Sequence[Change]) -> Self:
        """Hold every condition against every change."""
        verdicts = [(condition, change, condition.is_met(change)) for condition in conditions for change in changes]
        return cls(
            conditions,
            [(condition, change) for condition, change, met in verdicts if met],
            [(condition, change) for condition, change, met in verdicts if met is None],
            changes,
            any(met is not None and change.verdicts for _, change, met in verdicts),
        )

    def lines(self) -> list[str]:
        """Return what is to be said, in plain lines whose names may be anything; none without conditions."""
        if not self.conditions:
            return []
        regressed = [
            f"Regressed: {change.function_name}: {_describe(condition, change)}" for condition, change in self.met
        ]
        unsure = [
            f"Cannot tell: {condition}: too few calls of {name_some(names)}"
            for condition in self.conditions
            if (names := [change.function_name for each, change in self.unknown if each is condition])
        ]
        verdict = "Passed: no function met a condition" if self.judged else "Nothing to judge: too few calls throughout"
        return [*(regressed or [verdict]), *unsure, *self._one_sided()]

    def _one_sided(self) -> list[str]:
        """Return one line of those that nothing can be compared with; none where there are none."""
        new = [change.function_name for change in self.changes if change.base is None]
        gone = [change.function_name for change in self.changes if change.head is None]
        found = [f"{word}: {name_some(names)}" for word, names in (("new", new), ("gone", gone)) if names]
        return [f"Called on one side alone: {'; '.join(found)}"] if found else []


def _describe(condition: Condition, change: Change) -> str:
    before, after = (
        format_duration(side.durations[condition.duration] if side else None) for side in (change.base, change.head)
    )
    ratio = change.ratio(condition.duration)
    return f"{condition}: {before} -> {after}" + (f", {ratio:.2f}x" if ratio is not None else "")
