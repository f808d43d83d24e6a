"""Tables for people: columns aligned, names shortened so that a row stays one line of a terminal.

Must not know what the columns mean. Programs get `--json` instead.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chronoprof_sidecar.cli.text import shorten, width_of

GAP: Final = "  "
MIN_TEXT_WIDTH: Final = 8
"""Cells that a text column keeps however narrow the terminal is."""
MAX_ALIGNED_WIDTH: Final = 80
"""Cells of a text that others in its column are aligned with in a file: one name of 512 would push all figures away."""


@dataclass(frozen=True, slots=True)
class Column:
    """A title, and whether numbers stand under it: those are aligned to the right and never shortened."""

    title: str
    numeric: bool = True


def terminal_width() -> int | None:
    """Return the cells of a line of the terminal; None when stdout is a file or a pipe, which have no width."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def render_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], max_width: int | None) -> str:
    """Return the lines of a table: a row of titles, then `rows`, whose texts must be harmless already."""
    lines = [[column.title for column in columns], *rows]
    widths = [max(map(width_of, cells)) for cells in zip(*lines, strict=True)]
    if max_width is None:
        widths = list(map(_aligned_width, columns, widths))
    else:
        _narrow(widths, columns, max_width)
        lines = [list(map(_fit, cells, columns, widths)) for cells in lines]
    return "\n".join(GAP.join(map(_align, cells, columns, widths)).rstrip() for cells in lines)


def _aligned_width(column: Column, width: int) -> int:
    return width if column.numeric else min(width, MAX_ALIGNED_WIDTH)


def _narrow(widths: list[int], columns: Sequence[Column], max_width: int) -> None:
    """Take cells from the widest text column, again and again, until the table fits or all are at their minimum."""
    texts = [index for index, column in enumerate(columns) if not column.numeric]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - max_width
    for _ in range(excess):
        widest = max(texts, key=widths.__getitem__)
        if widths[widest] <= MIN_TEXT_WIDTH:
            return
        widths[widest] -= 1


def _fit(cell: str, column: Column, width: int) -> str:
    return cell if column.numeric else shorten(cell, width)


def _align(cell: str, column: Column, width: int) -> str:
    space = " " * (width - width_of(cell))
    return space + cell if column.numeric else cell + space
