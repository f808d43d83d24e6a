"""`chronoprof plot`: charts as files.

Owns the options and what each chart asks for. How charts look belongs to `figures`, which needs matplotlib.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chronoprof_sidecar.cli.command import Subparsers, ask
from chronoprof_sidecar.cli.extras import needs_extra
from chronoprof_sidecar.cli.target import add_target_options
from chronoprof_sidecar.cli.text import is_number
from chronoprof_sidecar.cli.transport import as_mapping
from chronoprof_sidecar.errors import MalformedRequestError, NotFoundError
from chronoprof_sidecar.protocol import DATA_PATH

COLUMNS: Final = (
    *("calls", "errors", "total_time", "min_time", "max_time", "avg_time"),
    *("p50_time", "p90_time", "p95_time", "p99_time"),
)
ENDINGS: Final = (".png", ".svg", ".pdf")


def add_parser(subparsers: Subparsers) -> None:
    """Register `plot` and its charts."""
    parser = subparsers.add_parser(
        "plot",
        help="draw charts into files",
        description="Draw a chart into a PNG, SVG or PDF file. Needs pip install 'chronoprof-sidecar[plot]'.",
    )
    charts = parser.add_subparsers(title="charts", metavar="CHART", required=True)
    _add_slowest(charts)


def _add_slowest(charts: Subparsers) -> None:
    parser = charts.add_parser(
        "slowest", help="the functions that come first by a column", description="Draw the functions that come first."
    )
    parser.add_argument("--by", choices=COLUMNS, default="avg_time", help="default: avg_time")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="so many functions (default: 10)")
    parser.add_argument("--match", metavar="GLOB", help="functions whose name matches, such as 'GET /api/*'")
    _add_files(parser, "slowest.png")
    add_target_options(parser)
    parser.set_defaults(run=run_slowest)


def _add_files(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("-o", "--output", type=Path, default=Path(default), metavar="FILE", help=f"default: {default}")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="FILE", help="a save, or a stored answer of the data route"
    )


def run_slowest(args: argparse.Namespace) -> int:
    """Draw the functions that come first by a column."""
    _check_output(args.output)
    with needs_extra("plot", "plot"):
        from chronoprof_sidecar.cli.plot import figures  # noqa: PLC0415 - an extra
    if args.source is None:
        query = {"sort": args.by, "order": "desc", "limit": args.top, "match": args.match}
        report = ask(args).get(DATA_PATH, query).report()
    else:
        report = _read_report(args.source)
    bars = [figures.Bar(name, row[args.by]) for name, row in _rows(report).items() if is_number(row.get(args.by))]
    bars = sorted(bars, key=lambda bar: bar.value, reverse=True)[: args.top]
    if not bars:
        raise NotFoundError("there are no calls to draw")
    figures.write(figures.draw_bars(bars, args.by), args.output)
    print(f"Wrote {args.output}.")
    return 0


def _rows(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: as_mapping(row) for name, row in as_mapping(report.get("data")).items()}


def _read_report(path: Path) -> dict[str, Any]:
    """Return what a file holds that reads like an answer of `GET data`.

    Raises:
        NotFoundError: the file cannot be read.
        MalformedRequestError: it holds something else.
    """
    try:
        report = json.loads(path.read_bytes())
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedRequestError(f"{path} is no save: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("data"), dict):
        raise MalformedRequestError(f"{path} is no save: it has no `data`")
    return report


def _check_output(path: Path) -> None:
    if path.suffix not in ENDINGS:
        raise MalformedRequestError(f"{path} must end in {', '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no directory {path.parent}")
