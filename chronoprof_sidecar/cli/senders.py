"""`chronoprof senders`: who ships timings, and who has fallen silent."""

import argparse
from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import fill
from typing import Any, Final

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, ask
from chronoprof_sidecar.cli.table import Column, render_table, terminal_width
from chronoprof_sidecar.cli.text import count_of, format_age, format_count, format_text, is_number, name_some
from chronoprof_sidecar.cli.transport import as_list, as_mapping
from chronoprof_sidecar.protocol import SENDERS_PATH

COLUMNS: Final = (
    *(Column(title, numeric=False) for title in ("INSTANCE", "SERVICE", "VERSION")),
    *map(Column, ("LAST BATCH", "SILENT", "CALLS", "LOST")),
)
LOSSES: Final = ("dropped", "rejected", "unknown")
PROCESSES: Final = ("process", "processes")
SILENT_SECONDS: Final = 60.0
"""A process ships every second, or every half minute that it lives where nothing is called, and tries at least once a
minute while it gets no answer."""
_SECONDS: Final = slice(len("2026-11-26T22:44:05"))

Sender = Mapping[str, Any]


def add_parser(subparsers: Subparsers) -> None:
    """Register `senders`."""
    parser = add_asking_command(
        subparsers,
        "senders",
        "show which processes ship timings, and since when each is silent",
        "Those silent longest come first. A process that ended in order said so with its last batch.",
    )
    parser.add_argument("--all", action="store_true", help="also those that ended in order")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one row per process, and who fell silent without a word."""
    answer = ask(args).get(SENDERS_PATH)
    if args.json:
        print(answer.text)
        return 0
    senders: list[Sender] = [as_mapping(sender) for sender in as_list(answer.report().get("senders"))]
    print(render_senders(senders, terminal_width(), with_ended=args.all))
    return 0


def render_senders(senders: Sequence[Sender], max_width: int | None, *, with_ended: bool = False) -> str:
    """Return the lines for the senders of an answer: a table, and below it what its silences may mean."""
    if not senders:
        return "No process has shipped anything yet."
    running = [sender for sender in senders if sender.get("final") is not True]
    ended = [sender for sender in senders if sender.get("final") is True]
    shown = [*running, *ended] if with_ended else running
    lines = [render_table(COLUMNS, list(map(_format_row, shown)), max_width)] if shown else []
    if ended and not with_ended:
        lines.append(f"{count_of(len(ended), *PROCESSES)} ended in order (--all lists them).")
    for service, of_service in groupby(sorted(running, key=_service), key=_service):
        lines += _hint(service, list(of_service), max_width)
    return "\n".join(lines)


def _hint(service: str, running: Sequence[Sender], max_width: int | None) -> list[str]:
    """Return what it may mean that processes of a service are silent: one line of text, or none where none is."""
    silent = [_instance(sender) for sender in running if _is_silent(sender)]
    if not silent:
        return []
    fell = f"{service}: {len(silent)} of {count_of(len(running), *PROCESSES)} fell silent without a last batch"
    if len(silent) < len(running):
        fell += f" while the rest goes on ({name_some(silent)})"
    text = f"{fell}: killed, hung, or cut off from the sidecar?"
    return [text if max_width is None else fill(text, max_width, break_on_hyphens=False)]


def _format_row(sender: Sender) -> list[str]:
    labels = [_instance(sender), *(format_text(sender.get(name)) for name in ("service", "version"))]
    last_batch = format_text(sender.get("last_batch"))
    # An ended process is silent for good, which is no reason to worry.
    silent = "ended" if sender.get("final") is True else format_age(sender.get("silent_seconds"))
    lost = sum(count for name in LOSSES if is_number(count := sender.get(name)))
    shown_time = f"{last_batch[_SECONDS]}Z" if last_batch.endswith("Z") else last_batch
    return [*labels, shown_time, silent, format_count(sender.get("calls")), format_count(lost)]


def _is_silent(sender: Sender) -> bool:
    seconds = sender.get("silent_seconds")
    return is_number(seconds) and seconds >= SILENT_SECONDS


def _instance(sender: Sender) -> str:
    """Return what a process is called; one without a name has the id that its shim drew."""
    return format_text(sender.get("instance") or sender.get("id"))


def _service(sender: Sender) -> str:
    return format_text(sender.get("service"))
