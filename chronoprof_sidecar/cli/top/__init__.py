"""`chronoprof top`: the table of functions, live.

Owns the loop: ask, draw, listen to the keyboard. What is shown belongs to `board`, what keys do to `view`, the terminal
to `screen` and `keyboard`.
"""

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Final

from chronoprof_sidecar.cli.command import Subparsers, add_match_option, ask
from chronoprof_sidecar.cli.extras import needs_extra
from chronoprof_sidecar.cli.table import render_table, terminal_width
from chronoprof_sidecar.cli.target import add_target_options
from chronoprof_sidecar.cli.text import harmless
from chronoprof_sidecar.cli.top.board import COLUMNS, RATE, TREND, Board
from chronoprof_sidecar.cli.top.keyboard import Keyboard
from chronoprof_sidecar.cli.top.view import SORT_KEYS, View
from chronoprof_sidecar.cli.transport import RefusedError, Sidecar, UnreachableError
from chronoprof_sidecar.protocol import DATA_PATH

LIMIT: Final = 200
"""Rows asked for: more than a terminal shows, and few enough to ask every second."""


def add_parser(subparsers: Subparsers) -> None:
    """Register `top`."""
    keys = ", ".join(f"{key} {column}" for key, column in SORT_KEYS.items())
    parser = subparsers.add_parser(
        "top",
        help="watch the slowest functions live",
        description=f"Watch the functions live. Keys: {keys}; r reverses, / filters, q quits. "
        "Where the output is no terminal, or a dumb one, the table is printed once.",
    )
    add_match_option(parser)
    parser.add_argument("--service", help="calls of this service alone")
    parser.add_argument("--version", dest="service_version", metavar="VERSION", help="calls of this version alone")
    parser.add_argument("--sort", choices=tuple(SORT_KEYS.values()), default="total_time", help="to begin with")
    parser.add_argument("--interval", type=_interval, default=2.0, metavar="SECONDS", help="between looks (default: 2)")
    add_target_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show the table until told to quit; print it once where there is no terminal."""
    look = partial(_look, ask(args), args)
    view, board = View(sort=args.sort, pattern=args.match or ""), Board()
    board.update(look(view), monotonic())  # what is wrong from the start is told as by any command
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        print(_render_once(board), *board.remarks(), sep="\n")
        return 0
    with needs_extra("cli", "top"):
        from chronoprof_sidecar.cli.top.screen import Screen  # noqa: PLC0415 - an extra
    with Keyboard(sys.stdin) as keyboard, Screen() as screen:
        trouble, next_look = "", monotonic() + args.interval
        while not view.quits:
            screen.draw(board, view, trouble)
            key = keyboard.read(next_look - monotonic())
            if (key is not None and view.press(key)) or monotonic() >= next_look:
                trouble, next_look = _update(board, view, look), monotonic() + args.interval
    return 0


def _render_once(board: Board) -> str:
    """Return the table of a single look, which knows no rates."""
    known = [index for index, column in enumerate(COLUMNS) if column.title not in {RATE, TREND}]
    rows = [[cells[index] for index in known] for cells in board.rows(trend_cells=0)]
    return render_table([COLUMNS[index] for index in known], rows, terminal_width())


def _update(board: Board, view: View, look: Callable[[View], dict[str, object]]) -> str:
    """Bring the board up to date; return what kept it from that, which the next look may find gone."""
    try:
        board.update(look(view), monotonic())
    except (UnreachableError, RefusedError) as error:
        return harmless(str(error))
    return ""


def _look(sidecar: Sidecar, args: argparse.Namespace, view: View) -> dict[str, object]:
    query = {
        "sort": view.sort,
        "order": view.order,
        "match": view.glob,
        "service": args.service,
        "version": args.service_version,
        "limit": LIMIT,
    }
    return sidecar.get(DATA_PATH, query).report()


def _interval(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not from 0.1 to 3600 seconds")
    return seconds
