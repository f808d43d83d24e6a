"""`chronoprof data`: the statistics of the current window, or of a span of the history."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, add_match_option, ask
from chronoprof_sidecar.cli.table import Column, render_table, terminal_width
from chronoprof_sidecar.cli.text import format_count, format_duration, format_text, harmless, is_number
from chronoprof_sidecar.cli.transport import as_mapping
from chronoprof_sidecar.protocol import DATA_PATH

# As many figures as leave a name 24 cells of 80; --json has all of them.
COLUMNS: Final = (
    Column("FUNCTION", numeric=False),
    *map(Column, ("CALLS", "ERRORS", "TOTAL", "AVG", "P50", "P95", "P99")),
)
DURATIONS: Final = ("total_time", "avg_time", "p50_time", "p95_time", "p99_time")
WHEN: Final = "15m, 24h or 30d ago, 2026-11-03T09:00:00Z, or Unix seconds"
LOSSES: Final = ("dropped", "rejected", "unknown", "overflowed", "set_aside")


def add_parser(subparsers: Subparsers) -> None:
    """Register `data`."""
    parser = add_asking_command(subparsers, "data", "show calls and durations per function")
    add_filters(parser)
    parser.add_argument("--since", metavar="WHEN", help=f"over all windows, from here on: {WHEN}")
    parser.add_argument("--until", metavar="WHEN", help="with --since: where the span ends (default: now)")
    parser.add_argument("--sort", metavar="COLUMN", help="such as p95_time or calls (default: total_time)")
    parser.add_argument("--order", choices=("asc", "desc"), help="smallest or largest first")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N rows")
    parser.set_defaults(run=run)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say whose calls are asked for."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="this function alone")
    add_match_option(parser)
    parser.add_argument("--service", help="calls of this service alone")
    parser.add_argument("--version", dest="service_version", metavar="VERSION", help="calls of this version alone")


def filters_of(args: argparse.Namespace) -> dict[str, str | int | None]:
    """Return the query parameters for the arguments of `add_filters`."""
    return {
        "function_name": args.name,
        "match": args.match,
        "service": args.service,
        "version": args.service_version,
    }


def run(args: argparse.Namespace) -> int:
    """Print the rows in the order of the answer."""
    query = filters_of(args) | {
        "since": args.since,
        "until": args.until,
        "sort": args.sort,
        "order": args.order,
        "limit": args.limit,
    }
    answer = ask(args).get(DATA_PATH, query)
    if args.json:
        print(answer.text)
        return 0
    print(render_report(answer.report(), terminal_width()))
    return 0


def render_report(report: Mapping[str, Any], max_width: int | None) -> str:
    """Return the lines for a report of `GET data`: its rows, and below them how far they can be trusted."""
    rows = [_format_row(name, as_mapping(row)) for name, row in as_mapping(report.get("data")).items()]
    table = render_table(COLUMNS, rows, max_width) if rows else "No calls."
    return f"{table}\n{_describe(as_mapping(report.get('meta')), len(rows))}"


def _format_row(name: str, row: Mapping[str, Any]) -> list[str]:
    counts = [format_count(row.get("calls")), format_count(row.get("errors"))]
    return [harmless(name), *counts, *(format_duration(row.get(column)) for column in DURATIONS)]


def _describe(meta: Mapping[str, Any], shown: int) -> str:
    """Return two lines: how much of which window this is, and what is missing from it."""
    functions = format_count(meta.get("functions"))
    of_all = f"{shown} of {functions}" if functions != str(shown) else functions
    return f"Functions: {of_all}; {_describe_span(meta)}\n{describe_losses(meta)}"


def _describe_span(meta: Mapping[str, Any]) -> str:
    if "since" in meta:
        return f"from {format_text(meta['since'])} to {format_text(meta.get('until'))}"
    return f"generation {format_count(meta.get('generation'))}, since {format_text(meta.get('window_start'))}"


def describe_losses(meta: Mapping[str, Any]) -> str:
    """Return whether the figures that `meta` belongs to are complete, and if not, what is missing."""
    lost = [f"{meta[name]} {name.replace('_', ' ')}" for name in LOSSES if is_number(meta.get(name)) and meta[name]]
    if meta.get("complete") is True:
        text = "Complete: nothing was lost"
    else:
        text = f"Not complete: {', '.join(lost) or 'something was lost'}"
    if meta.get("sampled") is True:
        text += "; sampled, so counts are estimates"
    late = meta.get("late")
    return f"{text}; {format_count(late)} came late" if is_number(late) and late else text
