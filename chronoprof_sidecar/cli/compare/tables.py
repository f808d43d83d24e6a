"""A comparison as a table for a terminal.

Owns the marks and what stands below the table. Which changes are shown, and in which order, is the caller's business.
"""

from collections.abc import Sequence
from typing import Final

from chronoprof_sidecar.cli.data import describe_losses
from chronoprof_sidecar.cli.table import Column, render_table
from chronoprof_sidecar.cli.text import NOTHING, format_age, format_count, format_duration, harmless
from chronoprof_sidecar.domain.compare import Change, Verdict
from chronoprof_sidecar.wire.comparisons import NamedWindow, report_side

# As many figures as leave a name some twenty cells of 80; --json has all of them.
COLUMNS: Final = (
    Column("FUNCTION", numeric=False),
    *map(Column, ("CALLS", "BASE P95", "HEAD P95", "P50", "P95", "P99", "AVG")),
)
RATIOS: Final = ("p50_time", "p95_time", "p99_time", "avg_time")
MARKS: Final = {Verdict.SLOWER: "▲", Verdict.FASTER: "▼", Verdict.NOISE: "~", Verdict.NOT_ENOUGH: "?"}
LEGEND: Final = "▲ slower, ▼ faster, beyond chance (99 %); ~ maybe chance; ? too few calls"
NEW: Final = "new"
GONE: Final = "gone"


def render_changes(
    base: NamedWindow, head: NamedWindow, changes: Sequence[Change], functions: int, max_width: int | None
) -> str:
    """Return the lines of a comparison: its changes, what the marks mean, and which two windows they are of."""
    rows = [_format_row(change) for change in changes]
    table = [render_table(COLUMNS, rows, max_width), LEGEND] if rows else ["No calls."]
    return "\n".join([*table, *describe(base, head, len(rows), functions)])


def describe(base: NamedWindow, head: NamedWindow, shown: int, functions: int) -> list[str]:
    """Return which windows were compared, in harmless lines: how long each was, and what is missing from it."""
    of_all = f"Functions: {shown} of {functions}" if shown != functions else f"Functions: {functions}"
    return [of_all, *(_describe_side(title, side) for title, side in (("Base", base), ("Head", head)))]


def format_ratio(change: Change, duration: str) -> str:
    """Return by how much a duration changed, and its mark: `1.31x ▲`; what is new or gone says so."""
    if change.base is None:
        return NEW
    if change.head is None:
        return GONE
    ratio = change.ratio(duration)
    return f"{NOTHING if ratio is None else f'{ratio:.2f}x'} {MARKS[change.verdicts[duration]]}"


def _format_row(change: Change) -> list[str]:
    p95 = [format_duration(side.durations["p95_time"] if side else None) for side in (change.base, change.head)]
    ratios = [format_ratio(change, duration) for duration in RATIOS]
    return [harmless(change.function_name), _format_calls(change), *p95, *ratios]


def _format_calls(change: Change) -> str:
    """Return the calls of both sides, as one figure where they are the same: `6000`, `6000→5800`."""
    calls = dict.fromkeys(side.calls if side else 0 for side in (change.base, change.head))
    return "→".join(map(format_count, calls))


def _describe_side(title: str, side: NamedWindow) -> str:
    report = report_side(side)
    start = str(report["window_start"])[:19]
    origin = "file" if side.is_file else "the sidecar's"
    described = f"{title}: {origin} {harmless(side.name)}"
    return f"{described}, {format_age(report['seconds'])} from {start}Z. {describe_losses(report)}"
