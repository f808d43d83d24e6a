"""Drawing on a terminal, with rich.

Owns colours and what fits. Names come as plain text and are never taken for markup.
"""

from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, JustifyMethod
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
_LINES_AROUND: Final = 5
"""Lines that are not rows: the title, the heading, the remark and two lines of keys."""
_EXPENDABLE: Final = ("MAX", "TOTAL", "ERRORS", "P50", "AVG", "P99", TREND)
"""Columns that make way for names, those that are missed least first."""
_TITLES: Final = {column: column.removesuffix("_time").upper() for column in SORT_KEYS.values()} | {
    "function_name": "FUNCTION"
}
"""The heading of the column that the rows are sorted by."""
_SORT_KEYS: Final = "sort" + "".join(f"  {key} {_TITLES[column].lower()}" for key, column in SORT_KEYS.items())


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
            _line(_SORT_KEYS, size.width, "dim"),
        )


def _table(board: Board, view: View, width: int, height: int) -> Table:
    trend_cells = max(8, width // 4 - 12)
    rows = board.rows(trend_cells)[:height]
    widths = [max(map(width_of, cells)) for cells in zip([column.title for column in COLUMNS], *rows, strict=True)]
    widths[_index(TREND)] = trend_cells
    room = width - sum(widths[1:]) - GAP * (len(COLUMNS) - 1)
    sorted_by = _TITLES[view.sort]
    for title in _EXPENDABLE:
        if room < LEAST_NAME and title != sorted_by:
            room += widths[_index(title)] + GAP
            widths[_index(title)] = 0
    # Names take all that is left, so that no column moves when the rows become others.
    widths[0] = max(MIN_TEXT_WIDTH, room)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    shown = [index for index, cells in enumerate(widths) if cells]
    for index in shown:
        column, style = COLUMNS[index], "bold" if COLUMNS[index].title == sorted_by else ""
        justify: JustifyMethod = "right" if column.numeric else "left"
        table.add_column(column.title, justify=justify, no_wrap=True, style=style, width=widths[index])
    for cells in rows:
        table.add_row(*(Text(shorten(cells[index], widths[index])) for index in shown))
    return table


def _index(title: str) -> int:
    return next(index for index, column in enumerate(COLUMNS) if column.title == title)


def _line(text: str, width: int, style: str) -> Text:
    return Text(shorten(text, width), style=style, no_wrap=True)


def _prompt(view: View) -> str:
    if view.is_typing:
        return f"filter: {view.pattern}_   (Enter takes it, Esc clears it)"
    shown = f"filter {view.pattern!r}, Esc clears it  " if view.pattern else ""
    return f"{shown}q quit  / filter  r reverse"
