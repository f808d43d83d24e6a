"""What a comparison looks like as JSON: the answer of `GET compare`, and what `chronoprof compare --json` prints.

Owns its fields. Stdlib-only, since the command line compares files where nothing else is installed.
"""

from collections.abc import Sequence
from typing import NamedTuple

from chronoprof_sidecar.domain.compare import DURATIONS, Change, Figures
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.wire.rows import Report, report_losses, to_number
from chronoprof_sidecar.wire.times import format_time, to_seconds


class NamedWindow(NamedTuple):
    """A window, and what whoever asked calls it."""

    name: str
    window: Snapshot
    is_file: bool = False
    """Whether it was read from a file where it was asked for, and not from the sidecar."""


def report_comparison(base: NamedWindow, head: NamedWindow, changes: Sequence[Change], functions: int) -> Report:
    """Return `{"data": {name: change}, "meta": {...}}`; `functions` is how many there are, before any limit."""
    return {
        "data": {change.function_name: _report_change(change) for change in changes},
        "meta": {"functions": functions, "base": report_side(base), "head": report_side(head)},
    }


def report_side(side: NamedWindow) -> Report:
    """Return which window a side is, how long it was, and what is missing from it."""
    window = side.window
    return {
        "name": side.name,
        "window_start": format_time(window.window_start_ns),
        "window_end": format_time(window.taken_ns),
        "seconds": to_seconds(window.taken_ns - window.window_start_ns),
        "services": list(window.services),
        **report_losses(window.losses.values()),
    }


def _report_change(change: Change) -> Report:
    return {
        "base": _report_figures(change.base),
        "head": _report_figures(change.head),
        "ratio": {name: change.ratio(name) for name in DURATIONS},
        "difference": {name: change.difference(name) for name in DURATIONS},
        "verdict": {name: change.verdicts.get(name) for name in DURATIONS},
    }


def _report_figures(figures: Figures | None) -> Report | None:
    if figures is None:
        return None
    return {
        "calls": to_number(figures.calls),
        "errors": to_number(figures.errors),
        "rate": figures.rate,
        "share": figures.share,
        **figures.durations,
        "intervals": {name: list(interval) if interval else None for name, interval in figures.intervals.items()},
    }
