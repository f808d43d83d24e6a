"""What the API answers out of the history: steps over time, and a span in the shape of a window.

As in `reports`, everything here is plain computation on copies.
"""

from typing import Final

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.history import ALL, History, Span, Step
from chronoprof_sidecar.domain.ordering import PERCENTS, sort_rows
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.protocol import NANOSECONDS
from chronoprof_sidecar.wire.reports import render
from chronoprof_sidecar.wire.rows import Report, report_losses, report_window, to_number
from chronoprof_sidecar.wire.times import format_time, to_seconds

_MINUTE_SECONDS: Final = 60


def render_history(history: History, step_minutes: int, taken_ns: int, by_function: History | None = None) -> bytes:
    """Return the answer to `GET history`: the steps of all functions together, and of some of them one by one."""
    report: Report = {"steps": _report_steps(history, ALL)}
    if by_function is not None:
        report["functions"] = {name: _report_steps(by_function, name) for name in _names_by_total(by_function)}
    report["meta"] = {
        **_report_span(history.span),
        "step": step_minutes * _MINUTE_SECONDS,
        "generated_at": format_time(taken_ns),
        "services": sorted(history.services),
        **report_losses(history.losses().values()),
    }
    return render(report)


def render_span(  # noqa: PLR0913  what GET data takes
    history: History,
    window: Snapshot,
    *,
    sort: str,
    descending: bool,
    limit: int | None = None,
    with_buckets: bool = False,
) -> bytes:
    """Return the answer to `GET data` of a span: that of a window, with rows and losses of the history."""
    rows = [(RowKey(name, "", ""), row) for name, row in history.steps[0].rows.items()]
    snapshot = Snapshot(
        generation=window.generation,
        window_start_ns=window.window_start_ns,
        taken_ns=window.taken_ns,
        services=sorted(history.services),
        rows=rows,
        losses=history.losses(),
    )
    report = report_window(snapshot, sort=sort, descending=descending, limit=limit, with_buckets=with_buckets)
    report["meta"] |= _report_span(history.span)
    return render(report)


def top_names(history: History, count: int) -> frozenset[str]:
    """Return the functions of the first step that took most time in total."""
    rows = history.steps[0].rows
    return frozenset(name for name, _ in sort_rows(rows, "total_time", descending=True, limit=count))


def _report_steps(history: History, name: str) -> list[Report]:
    return [_report_step(step, step.rows.get(name)) for step in history.steps]


def _report_step(step: Step, row: FunctionStatistics | None) -> Report:
    """Return one step; where nothing was counted no duration is made up."""
    names = ("min_time", "max_time", "avg_time", *(f"p{percent}_time" for percent in PERCENTS))
    durations: list[float | None] = [None] * len(names)
    if row is not None:
        durations = [to_seconds(row.min_ns), to_seconds(row.max_ns), row.avg_time, *row.percentiles(PERCENTS)]
    return {
        "start": _format_minute(step.span.start),
        "end": _format_minute(step.span.end),
        "calls": to_number(row.calls) if row else 0,
        "errors": to_number(row.errors) if row else 0,
        "total_time": to_seconds(row.total_ns) if row else 0.0,
        **dict(zip(names, durations, strict=True)),
        "resolution": step.resolution_minutes * _MINUTE_SECONDS,
        "complete": all(losses.complete for losses in step.losses.values()),
        "late": to_number(sum(losses.late for losses in step.losses.values())),
    }


def _names_by_total(history: History) -> list[str]:
    totals: dict[str, int] = {}
    for step in history.steps:
        for name, row in step.rows.items():
            totals[name] = totals.get(name, 0) + row.total_ns
    return sorted(totals, key=lambda name: (-totals[name], name))


def _report_span(span: Span) -> Report:
    return {"since": _format_minute(span.start), "until": _format_minute(span.end)}


def _format_minute(minute: int) -> str:
    return format_time(minute * _MINUTE_SECONDS * NANOSECONDS)
