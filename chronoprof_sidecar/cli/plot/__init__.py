"""`chronoprof plot`: charts as files.

Owns the options and what each chart asks for. How charts look belongs to `figures`, which needs matplotlib.
"""

import argparse
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from chronoprof_sidecar.cli.command import Subparsers, add_match_option, ask
from chronoprof_sidecar.cli.extras import needs_extra
from chronoprof_sidecar.cli.plot.sources import coarsen, histogram_of, read_report, rows_of, steps_of
from chronoprof_sidecar.cli.target import add_target_options
from chronoprof_sidecar.cli.text import is_number
from chronoprof_sidecar.cli.windows import WINDOW_HELP, find_window
from chronoprof_sidecar.domain.compare import DURATIONS, compare, largest_first, side_of
from chronoprof_sidecar.errors import MalformedRequestError, NotFoundError
from chronoprof_sidecar.protocol import DATA_PATH, HISTORY_PATH

COLUMNS: Final = (
    *("calls", "errors", "total_time", "min_time", "max_time", "avg_time"),
    *("p50_time", "p90_time", "p95_time", "p99_time"),
)
MARKED: Final = ("p50_time", "p95_time", "p99_time")
ENDINGS: Final = (".png", ".svg", ".pdf")
MAX_TOP: Final = 100
"""Bars that a picture can hold and a person can look at."""


def add_parser(subparsers: Subparsers) -> None:
    """Register `plot` and its charts."""
    parser = subparsers.add_parser(
        "plot",
        help="draw charts into files",
        description="Draw a chart into a PNG, SVG or PDF file. Needs pip install 'chronoprof-sidecar[plot]'.",
    )
    charts = parser.add_subparsers(title="charts", metavar="CHART", required=True)
    _add_slowest(charts)
    _add_distribution(charts)
    _add_compare(charts)
    _add_history(charts)


def _add_slowest(charts: Subparsers) -> None:
    parser = charts.add_parser(
        "slowest", help="the functions that come first by a column", description="Draw the functions that come first."
    )
    parser.add_argument("--by", choices=COLUMNS, default="avg_time", help="default: avg_time")
    parser.add_argument("--top", type=_top, default=10, metavar="N", help="so many functions (default: 10)")
    add_match_option(parser)
    _add_files(parser, "slowest.png")
    add_target_options(parser)
    parser.set_defaults(run=run_slowest)


def _add_distribution(charts: Subparsers) -> None:
    parser = charts.add_parser(
        "distribution",
        help="how the durations of one function are distributed",
        description="Draw how the durations of one function are distributed, on a logarithmic axis.",
    )
    parser.add_argument("name", metavar="NAME", help="the function, such as 'GET /api/v1/recall'")
    _add_files(parser, "distribution.png")
    add_target_options(parser)
    parser.set_defaults(run=run_distribution)


def _add_compare(charts: Subparsers) -> None:
    parser = charts.add_parser(
        "compare",
        help="two windows side by side",
        description=f"Draw what changed from BASE to HEAD, largest change first. Each of the two is {WINDOW_HELP}.",
    )
    parser.add_argument("base", metavar="BASE", help="what to compare with")
    parser.add_argument("head", metavar="HEAD", help="what to compare")
    parser.add_argument("--by", choices=DURATIONS, default="p95_time", help="default: p95_time")
    parser.add_argument("--top", type=_top, default=10, metavar="N", help="so many functions (default: 10)")
    add_match_option(parser)
    _add_output(parser, "compare.png")
    add_target_options(parser)
    parser.set_defaults(run=run_compare)


def _add_history(charts: Subparsers) -> None:
    parser = charts.add_parser(
        "history",
        help="percentiles and calls over time",
        description="Draw p50, p95 and p99 over time above the calls, of one function or of all together.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="this function alone")
    add_match_option(parser)
    parser.add_argument("--since", metavar="TIME", help="such as 15m, 30d or 2026-11-26T09:00:00Z (default: 1h)")
    parser.add_argument("--until", metavar="TIME", help="default: now")
    parser.add_argument("--step", metavar="TIME", help="such as 5m (default: some 60 to 120 steps)")
    _add_output(parser, "history.png")
    add_target_options(parser)
    parser.set_defaults(run=run_history)


def _add_files(parser: argparse.ArgumentParser, default: str) -> None:
    _add_output(parser, default)
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="a save, or a stored answer of the data route"
    )


def _add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("-o", "--output", type=Path, default=Path(default), metavar="FILE", help=f"default: {default}")


def run_slowest(args: argparse.Namespace) -> int:
    """Draw the functions that come first by a column."""
    _check_output(args.output)
    with needs_extra("plot", "plot"):
        from chronoprof_sidecar.cli.plot import figures  # noqa: PLC0415 - an extra
    if args.source is None:
        query = {"sort": args.by, "order": "desc", "limit": args.top, "match": args.match}
        report = ask(args).get(DATA_PATH, query).report()
    else:
        report = read_report(args.source)
    values = {name: row[args.by] for name, row in rows_of(report).items() if is_number(row.get(args.by))}
    matching = [name for name in values if args.match is None or fnmatchcase(name, args.match)]
    bars = [figures.Bar(name, values[name]) for name in sorted(matching, key=values.__getitem__, reverse=True)]
    if not bars:
        raise NotFoundError("there are no calls to draw")
    _tell(args.output, replaced=figures.write(figures.draw_bars(bars[: args.top], args.by), args.output))
    return 0


def run_distribution(args: argparse.Namespace) -> int:
    """Draw the histogram of one function."""
    _check_output(args.output)
    with needs_extra("plot", "plot"):
        from chronoprof_sidecar.cli.plot import figures  # noqa: PLC0415 - an extra
    if args.source is None:
        report = ask(args).get(DATA_PATH, {"function_name": args.name, "buckets": "true"}).report()
    else:
        report = read_report(args.source)
    histogram, row = histogram_of(report, args.name), rows_of(report)[args.name]
    buckets = [figures.Bucket(*bounds, calls) for bounds, calls in coarsen(histogram)]
    percentiles = {column: float(row[column]) for column in MARKED if is_number(row.get(column))}
    _tell(args.output, replaced=figures.write(figures.draw_distribution(args.name, buckets, percentiles), args.output))
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """Draw two windows side by side, the largest change first."""
    _check_output(args.output)
    with needs_extra("plot", "plot"):
        from chronoprof_sidecar.cli.plot import figures  # noqa: PLC0415 - an extra
    base, head = (side_of(find_window(args, name)) for name in (args.base, args.head))
    names = largest_first(base, head, only=args.match)[: args.top]
    if not names:
        raise NotFoundError("there are no calls to draw")
    pairs = [
        figures.Pair(
            change.function_name,
            change.base.durations[args.by] if change.base else None,
            change.head.durations[args.by] if change.head else None,
            change.verdicts.get(args.by),
        )
        for change in compare(base, head, names)
    ]
    _tell(
        args.output, replaced=figures.write(figures.draw_comparison(pairs, args.by, args.base, args.head), args.output)
    )
    return 0


def run_history(args: argparse.Namespace) -> int:
    """Draw percentiles and calls over time."""
    _check_output(args.output)
    with needs_extra("plot", "plot"):
        from chronoprof_sidecar.cli.plot import figures  # noqa: PLC0415 - an extra
    query = {"function_name": args.name, **{name: getattr(args, name) for name in ("match", "since", "until", "step")}}
    steps = steps_of(ask(args).get(HISTORY_PATH, query).report())
    if not any(step.calls for step in steps):
        raise NotFoundError("there are no calls to draw")
    moments = [figures.Moment(step.start, step.end, step.calls, step.durations(MARKED)) for step in steps]
    _tell(
        args.output,
        replaced=figures.write(figures.draw_history(args.name or args.match or "all functions", moments), args.output),
    )
    return 0


def _tell(path: Path, *, replaced: bool) -> None:
    print(f"{'Replaced' if replaced else 'Wrote'} {path}.")


def _top(text: str) -> int:
    count = int(text)
    if not 1 <= count <= MAX_TOP:
        raise argparse.ArgumentTypeError(f"{text} is not from 1 to {MAX_TOP}")
    return count


def _check_output(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise MalformedRequestError(f"{path} must end in {', '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no directory {path.parent}")
