"""A window as an answer or a save shows it: its rows, and what is missing from them.

Owns the shape of a row and of `meta`. Stdlib-only, since the command line writes saves, too; `reports` makes answers.
"""

from collections.abc import Iterable
from typing import Any, Final

from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.ordering import PERCENTS, sort_rows
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import merge_by_name
from chronoprof_sidecar.wire.times import format_time, to_seconds

DEFAULT_SORT: Final = "total_time"
_MAX_INTEGER: Final = 2**63
"""Counts beyond this fit no reader's integers; sums of honest senders never get there."""

Report = dict[str, Any]


def report_window(
    snapshot: Snapshot,
    *,
    sort: str = DEFAULT_SORT,
    descending: bool = True,
    limit: int | None = None,
    with_buckets: bool = False,
) -> Report:
    """Return `{"data": {name: row}, "meta": {...}}` of a snapshot."""
    rows = merge_by_name(snapshot.rows)
    ordered = sort_rows(rows, sort, descending=descending, limit=limit)
    data = {name: report_row(row, with_buckets=with_buckets) for name, row in ordered}
    return {"data": data, "meta": _report_meta(snapshot, len(rows))}


def to_number(count: int) -> int | float:
    """Return a count as a JSON number: exact up to 2^63, the nearest float beyond."""
    return count if count < _MAX_INTEGER else float(count)


def report_row(row: FunctionStatistics, *, with_buckets: bool = False) -> Report:
    """Return one row: durations in seconds, times in RFC 3339; with its histogram when that is asked for."""
    report: Report = {
        "calls": to_number(row.calls),
        "total_time": to_seconds(row.total_ns),
        "min_time": to_seconds(row.min_ns),
        "max_time": to_seconds(row.max_ns),
        "avg_time": row.avg_time,
    }
    for percent, seconds in zip(PERCENTS, row.percentiles(PERCENTS), strict=True):
        report[f"p{percent}_time"] = seconds
    report["errors"] = to_number(row.errors)
    report["first_seen"] = format_time(row.first_seen_ns)
    report["last_seen"] = format_time(row.last_seen_ns)
    if with_buckets:
        report["buckets"], counts = row.histogram.to_sparse()
        report["counts"] = [to_number(count) for count in counts]
    return report


def report_losses(losses: Iterable[Losses]) -> Report:
    """Return `complete` and the figures behind it, summed."""
    total = Losses()
    for each in losses:
        total.merge(each)
    return {
        "complete": total.complete,
        "dropped": to_number(total.dropped),
        "rejected": to_number(total.rejected),
        "unknown": to_number(total.unknown),
        "overflowed": to_number(total.overflowed),
        "set_aside": to_number(total.set_aside),
        "sampled": total.sampled > 0,
        "late": to_number(total.late),
    }


def _report_meta(snapshot: Snapshot, functions: int) -> Report:
    return {
        "generation": snapshot.generation,
        "window_start": format_time(snapshot.window_start_ns),
        "generated_at": format_time(snapshot.taken_ns),
        "functions": functions,
        "services": list(snapshot.services),
        **report_losses(snapshot.losses.values()),
    }
