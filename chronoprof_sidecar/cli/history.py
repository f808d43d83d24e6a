"""`chronoprof history`: one function, or all, over time, as plots of one line each."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, ask
from chronoprof_sidecar.cli.data import WHEN, add_filters, describe_losses, filters_of
from chronoprof_sidecar.cli.sparkline import sparkline
from chronoprof_sidecar.cli.table import MIN_TEXT_WIDTH, Column, render_table, terminal_width
from chronoprof_sidecar.cli.text import (
    count_of,
    format_age,
    format_count,
    format_duration,
    format_text,
    harmless,
    is_number,
    shorten,
)
from chronoprof_sidecar.cli.transport import as_list, as_mapping
from chronoprof_sidecar.protocol import HISTORY_PATH

DURATIONS: Final = ("p50_time", "p95_time", "p99_time")
COLUMNS: Final = (Column("", numeric=False), Column("LOWEST"), Column("HIGHEST"), Column("LAST"))
SERIES: Final[Sequence[tuple[str, str, Callable[[object], str]]]] = (
    ("calls", "calls", format_count),
    *((name.removesuffix("_time"), name, format_duration) for name in DURATIONS),
)
"""Each plot's label, its column of a step, and how its figures look."""
STEP_COLUMNS: Final = (
    *(Column(title, numeric=False) for title in ("START", "RESOLUTION")),
    *map(Column, ("CALLS", "ERRORS", "P50", "P95", "P99")),
)
OTHER_CELLS: Final = 38
"""Cells of a line beside its plot: the name and three figures."""
MAX_CELLS: Final = 60
"""Cells of a plot: half as many as a span has steps at most, so that none shows more than two."""


def add_parser(subparsers: Subparsers) -> None:
    """Register `history`."""
    parser = add_asking_command(
        subparsers,
        "history",
        "show calls and percentiles over time",
        "Plots on a terminal; piped, a line for every step that has calls.",
    )
    add_filters(parser)
    parser.add_argument("--since", metavar="WHEN", help=f"from here on: {WHEN} (default: 1h)")
    parser.add_argument("--until", metavar="WHEN", help="where the span ends (default: now)")
    parser.add_argument("--step", metavar="LENGTH", help="such as 5m or 1h (default: as fits the span)")
    parser.add_argument("--table", action="store_true", help="a line for every step that has calls, on a terminal, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the plots, or the steps where there is no terminal to look at."""
    query = filters_of(args) | {"since": args.since, "until": args.until, "step": args.step}
    answer = ask(args).get(HISTORY_PATH, query)
    if args.json:
        print(answer.text)
        return 0
    width = terminal_width()
    render = render_steps if args.table or width is None else render_plots
    print(render(answer.report(), harmless(args.name or args.match or "all functions"), width))
    return 0


def render_plots(report: Mapping[str, Any], title: str, max_width: int | None) -> str:
    """Return the lines for a report of `GET history`: calls and percentiles as bars, and what the bars stand for."""
    steps = [as_mapping(step) for step in as_list(report.get("steps"))]
    cells = max(MIN_TEXT_WIDTH, min(MAX_CELLS, (max_width or MAX_CELLS + OTHER_CELLS) - OTHER_CELLS))
    lines = [_plot(label, [step.get(column) for step in steps], show, cells) for label, column, show in SERIES]
    columns = (COLUMNS[0], Column(shorten(title, cells), numeric=False), *COLUMNS[1:])
    return f"{render_table(columns, lines, max_width)}\n{_describe(as_mapping(report.get('meta')), len(steps))}"


def render_steps(report: Mapping[str, Any], title: str, max_width: int | None) -> str:
    """Return a line for every step that has calls, and below them what they are of and how far they can be trusted."""
    steps = [as_mapping(step) for step in as_list(report.get("steps"))]
    rows = [_format_step(step) for step in steps if step.get("calls")]
    table = render_table(STEP_COLUMNS, rows, max_width) if rows else "No calls."
    return f"{table}\n{title}: {_describe(as_mapping(report.get('meta')), len(steps))}"


def bars(values: Sequence[float | None], cells: int) -> str:
    """Return a plot of at most so many cells: where values share one, the largest of them is shown."""
    if len(values) <= cells:
        return sparkline(values)
    shared = [values[len(values) * cell // cells : len(values) * (cell + 1) // cells] for cell in range(cells)]
    return sparkline([max((value for value in some if value is not None), default=None) for some in shared])


def _plot(label: str, values: Sequence[object], show: Callable[[object], str], cells: int) -> list[str]:
    """Return the cells of one line; a step without calls is a gap, since it has no duration."""
    figures = [value if is_number(value) and (value or label != "calls") else None for value in values]
    known = [figure for figure in figures if figure is not None]
    ends: list[object] = [min(known), max(known), known[-1]] if known else [None] * 3
    return [label, bars(figures, cells), *map(show, ends)]


def _format_step(step: Mapping[str, Any]) -> list[str]:
    counts = [format_count(step.get(name)) for name in ("calls", "errors")]
    start = format_text(step.get("start")).replace(":00.000000Z", "Z")
    return [
        start,
        format_age(step.get("resolution")),
        *counts,
        *(format_duration(step.get(name)) for name in DURATIONS),
    ]


def _describe(meta: Mapping[str, Any], steps: int) -> str:
    """Return two lines: which span this is in which steps, and what is missing from it."""
    since, until = (format_text(meta.get(name)).replace(":00.000000Z", "Z") for name in ("since", "until"))
    return f"{count_of(steps, 'step')} of {format_age(meta.get('step'))}, {since} to {until}\n{describe_losses(meta)}"
