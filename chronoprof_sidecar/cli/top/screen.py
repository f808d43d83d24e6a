"""Drawing on a terminal, with rich.

Owns colours and what fits. Names come as plain text and are never taken for markup.
"""

from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chronoprof_sidecar.cli.table import MIN_TEXT_WIDTH
from chronoprof_sidecar.cli.text import shorten, width_of
from chronoprof_sidecar.cli.top.board import COLUMNS, TREND, Board
from chronoprof_sidecar.cli.top.view import SORT_KEYS, View

LEAST_NAME: Final = 20
"""Cells of a name for which other columns make way."""
GAP: Final = 2
_KEYS: Final = "  ".join(f"{key} {column.removesuffix('_time')}" for key, column in SORT_KEYS.items())
_LINES_AROUND: Final = 5
"""Lines that are not rows: the title, the heading, two remarks and the keys."""
_TITLES: Final = {
    "function_name": "FUNCTION",
    "calls": "CALLS",
    "errors": "ERRORS",
    "avg_time": "AVG",
    "p50_time": "P50",
    "p95_time": "P95",
    "p99_time": "P99",
}
"""The heading of the column that the rows are sorted by."""


class Screen:
    """The whole terminal, inside `with`; what stood on it comes back afterwards."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def draw(self, board: Board, view: View, trouble: str) -> None:
        """Show the board, as much of it as fits."""
        self._live.update(self.render(board, view, trouble), refresh=True)

    def render(self, board: Board, view: View, trouble: str) -> Group:
        """Return the lines of one picture."""
        size = self._console.size
        who, losses = board.remarks()
        title = f"chronoprof top: by {view.sort}{', reversed' if view.is_reversed else ''}; {who}"
        return Group(
            _line(title, size.width, "bold"),
            _table(board, view, size.width, max(1, size.height - _LINES_AROUND)),
            _line(trouble or losses, size.width, "red" if trouble or not board.is_complete() else "green"),
            _line(_prompt(view), size.width, "reverse" if view.is_typing else "dim"),
        )


def _table(board: Board, view: View, width: int, height: int) -> Table:
    trend_cells = max(8, width // 4 - 12)
    rows = board.rows(trend_cells)[:height]
    widths = [max(map(width_of, cells)) for cells in zip([column.title for column in COLUMNS], *rows, strict=True)]
    widths[_index(TREND)] = trend_cells
    room = width - sum(widths[1:]) - GAP * (len(COLUMNS) - 1)
    while room < LEAST_NAME and (dropped := _least(widths)) is not None:
        room += widths[dropped] + GAP
        widths[dropped] = 0
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold", width=width)
    shown = [index for index, cells in enumerate(widths) if cells]
    for index in shown:
        column = COLUMNS[index]
        style = "bold" if column.title == _TITLES.get(view.sort) else ""
        table.add_column(column.title, justify="right" if column.numeric else "left", no_wrap=True, style=style)
    for cells in rows:
        name = shorten(cells[0], max(MIN_TEXT_WIDTH, room))
        table.add_row(*(Text(name if not index else cells[index]) for index in shown))
    return table


def _least(widths: list[int]) -> int | None:
    """Return the column that is missed least of those that are left."""
    return next((index for title in ("ERRORS", "P50", TREND, "P99", "AVG") if widths[index := _index(title)]), None)


def _index(title: str) -> int:
    return next(index for index, column in enumerate(COLUMNS) if column.title == title)


def _line(text: str, width: int, style: str) -> Text:
    return Text(shorten(text, width), style=style, no_wrap=True)


def _prompt(view: View) -> str:
    if view.is_typing:
        return f"filter: {view.pattern}_   (Enter takes it, Esc clears it)"
    shown = f"filter {view.pattern!r}, Esc clears it  " if view.pattern else ""
    return f"{shown}q quit  / filter  r reverse  {_KEYS}"
