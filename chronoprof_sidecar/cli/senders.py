"""`chronoprof senders`: who ships timings, and who has fallen silent."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, ask
from chronoprof_sidecar.cli.table import Column, render_table, terminal_width
from chronoprof_sidecar.cli.text import format_age, format_count, format_text, is_number
from chronoprof_sidecar.cli.transport import as_list, as_mapping
from chronoprof_sidecar.protocol import SENDERS_PATH

COLUMNS: Final = (
    *(Column(title, numeric=False) for title in ("INSTANCE", "SERVICE", "VERSION")),
    *map(Column, ("SILENT", "CALLS", "LOST")),
)
LOSSES: Final = ("dropped", "rejected", "unknown")


def add_parser(subparsers: Subparsers) -> None:
    """Register `senders`."""
    parser = add_asking_command(
        subparsers, "senders", "show which processes ship timings, and since when each is silent"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one row per process."""
    answer = ask(args).get(SENDERS_PATH)
    if args.json:
        print(answer.text)
        return 0
    rows = [_format_row(as_mapping(sender)) for sender in as_list(answer.report().get("senders"))]
    print(render_table(COLUMNS, rows, terminal_width()) if rows else "No process has shipped anything yet.")
    return 0


def _format_row(sender: Mapping[str, Any]) -> list[str]:
    labels = [format_text(sender.get(name)) for name in ("instance", "service", "version")]
    # An ended process is silent for good, which is no reason to worry.
    silent = "ended" if sender.get("final") is True else format_age(sender.get("silent_seconds"))
    lost = sum(count for name in LOSSES if is_number(count := sender.get(name)))
    return [*labels, silent, format_count(sender.get("calls")), format_count(lost)]
