"""`chronoprof compare`: two windows side by side, and the performance gate of a pipeline.

Owns the options and the exit code. What a change is belongs to `domain`, how it looks to `tables` and `markdown`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Final

from chronoprof_sidecar.cli.command import Subparsers, add_match_option
from chronoprof_sidecar.cli.compare.gate import Gate
from chronoprof_sidecar.cli.compare.markdown import render_markdown
from chronoprof_sidecar.cli.compare.tables import render_changes
from chronoprof_sidecar.cli.table import terminal_width
from chronoprof_sidecar.cli.target import add_target_options
from chronoprof_sidecar.cli.text import harmless, harmless_json, name_some
from chronoprof_sidecar.cli.windows import WINDOW_HELP, find_window, is_here
from chronoprof_sidecar.domain.compare import Change, compare, largest_first, side_of
from chronoprof_sidecar.domain.conditions import Condition
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.domain.windows import LIVE, VERSION_PREFIX, narrow
from chronoprof_sidecar.errors import ChronoprofError, MalformedRequestError
from chronoprof_sidecar.wire.comparisons import NamedWindow, report_comparison

REGRESSED: Final = 1
DESCRIPTION: Final = (
    "Show what changed from BASE to HEAD, the largest change first, and whether chance alone would explain it."
    f" Each of the two is {WINDOW_HELP}."
)


def add_parser(subparsers: Subparsers) -> None:
    """Register `compare`."""
    parser = subparsers.add_parser(
        "compare", help="compare two windows; the gate of a pipeline", description=DESCRIPTION
    )
    parser.add_argument("base", metavar="BASE", help="what to compare with")
    parser.add_argument("head", metavar="HEAD", help="what to compare")
    add_match_option(parser)
    parser.add_argument("--service", help="calls of this service alone")
    parser.add_argument("--limit", type=_count, metavar="N", help="show the N largest changes; all are judged")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print all figures, as GET compare answers them")
    form.add_argument("--markdown", action="store_true", help="print a table for a comment on a pull request")
    gate = parser.add_argument_group(
        "the gate", "Exit code 1 if a function meets a condition, and chance does not explain it."
    )
    gate.add_argument(
        "--fail-if",
        action="append",
        default=[],
        type=_condition,
        metavar="CONDITION",
        help="such as 'p95_time > 1.2x', 'p99_time > 250ms' or 'avg_time > +5ms'; may be given several times",
    )
    gate.add_argument(
        "--min-calls", type=_count, default=1, metavar="N", help="judge functions of at least N calls each side"
    )
    gate.add_argument(
        "--fail-on-unknown", action="store_true", help="exit code 1 also where there are too few calls to say"
    )
    add_target_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what changed, and what the gate says of it."""
    base, head = (
        NamedWindow(name, narrow(find_window(args, name, args.service), Selection(service=args.service)), is_here(name))
        for name in (args.base, args.head)
    )
    sides = side_of(base.window), side_of(head.window)
    names = largest_first(*sides, only=args.match)
    changes = compare(*sides, names, min_calls=args.min_calls)
    if args.fail_if and not any(change.verdicts for change in changes):
        raise MalformedRequestError(f"there is no function to judge: {_why_unjudged(args, base, head, changes)}")
    gate = Gate.judge(args.fail_if, changes)
    shown = changes[: args.limit]
    if args.json:
        print(harmless_json(json.dumps(report_comparison(base, head, shown, len(names)), ensure_ascii=False)))
        print(*map(harmless, gate.lines()), sep="\n", end="\n" if gate.lines() else "", file=sys.stderr)
    elif args.markdown:
        print(render_markdown(base, head, shown, len(names), gate))
    else:
        print(
            "\n".join([render_changes(base, head, shown, len(names), terminal_width()), *map(harmless, gate.lines())])
        )
    return REGRESSED if gate.met or (args.fail_on_unknown and gate.unknown) else 0


def _why_unjudged(args: argparse.Namespace, base: NamedWindow, head: NamedWindow, changes: Sequence[Change]) -> str:
    """Say which side has no calls, where no function has them on both."""
    asked = "".join(f" of {what}" for what in (args.match, args.service) if what is not None)
    called = any(change.base for change in changes), any(change.head for change in changes)
    empty = [
        f"{side.name} has no calls{asked}{_known_versions(args, side.name)}"
        for side, has_calls in zip((base, head), called, strict=True)
        if not has_calls
    ]
    return "; ".join(empty) or "each was called on one side alone"


def _known_versions(args: argparse.Namespace, name: str) -> str:
    """Return which versions the current window has, if `name` is one that it lacks."""
    if not name.startswith(VERSION_PREFIX):
        return ""
    try:
        window = narrow(find_window(args, LIVE), Selection(service=args.service))
    except ChronoprofError:
        return ""
    versions = sorted({VERSION_PREFIX + key.version for key, _ in window.rows})
    return f" (the current window has {name_some(versions) or 'none at all'})"


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"not a whole number: {text!r}")
    return int(text)


def _condition(text: str) -> Condition:
    try:
        return Condition.parse(text)
    except MalformedRequestError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
