"""The chart of the slowest functions as SVG: one bar each, drawn by hand, since a bar is a rectangle.

Owns the picture. Names come as text nodes, escaped; nothing in the document can run or load anything.
"""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from chronoprof_sidecar.domain.ordering import COLUMNS, sort_rows
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import merge_by_name
from chronoprof_sidecar.protocol import NANOSECONDS

CHART_COLUMNS: Final = tuple(name for name in COLUMNS if name not in {"first_seen", "last_seen"})
"""What there is to draw: durations and counts."""
_IN_NANOSECONDS: Final = {"total_time", "min_time", "max_time"}
"""What the domain counts in whole nanoseconds."""

_WIDTH: Final = 900
_NAME_WIDTH: Final = 380
_FIGURE_WIDTH: Final = 80
_BAR_ROOM: Final = _WIDTH - _NAME_WIDTH - _FIGURE_WIDTH
_LINE: Final = 26
_BAR: Final = 16
_TOP: Final = 52
_BOTTOM: Final = 28
_NAME_CHARACTERS: Final = 54
"""As many of this font as fit beside the bars; the whole name is in the tooltip."""
# One document for light and dark pages: it inherits nothing from the page that an <img> stands in.
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#1b2733}.title{font-weight:600;font-size:15px}.note{fill:#5b6b7b}"
    "rect{fill:#2f6fde}.page{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e4ebf2}.note{fill:#9aa9b8}rect{fill:#6ea3ff}.page{fill:#12181f}}"
)


def render_chart(snapshot: Snapshot, *, column: str, top: int) -> bytes:
    """Return an SVG of the `top` functions by a column of `CHART_COLUMNS`, the largest first."""
    rows = sort_rows(merge_by_name(snapshot.rows), column, descending=True, limit=top)
    figures = [_figure(row, column) for _, row in rows]
    height = _TOP + _LINE * max(1, len(rows)) + _BOTTOM
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    title = f"Top {top} functions by {column}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label={quoteattr(title)}>',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
        f'<text class="title" x="16" y="30">{escape(title)}</text>',
        *_bars([name for name, _ in rows], figures, column),
        f'<text class="note" x="16" y="{height - 10}">{escape(_note(snapshot))}</text>',
        "</svg>\n",
    ]
    return "".join(parts).encode("utf-8", "replace")


def format_figure(value: float, column: str) -> str:
    """Return a figure as a person reads it: a count, or a duration with three figures."""
    if not column.endswith("_time"):
        return f"{value:,.0f}"
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms")):
        if value < limit:
            return f"{value * factor:.3g} {unit}"
    return f"{value:,.3g} s" if value < 1000 else f"{value:,.0f} s"


def _bars(names: Sequence[str], figures: Sequence[float], column: str) -> list[str]:
    if not names:
        return [f'<text class="note" x="16" y="{_TOP + _BAR}">No calls.</text>']
    largest = max(figures) or 1.0
    lines = []
    for index, (name, figure) in enumerate(zip(names, figures, strict=True)):
        y = _TOP + index * _LINE
        width = figure / largest * _BAR_ROOM
        lines.append(
            f"<g><title>{escape(_legal(name))}</title>"
            f'<text x="{_NAME_WIDTH - 8}" y="{y + _BAR - 3}" text-anchor="end">{escape(_short(_legal(name)))}</text>'
            f'<rect x="{_NAME_WIDTH}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
            f'<text x="{_NAME_WIDTH + width + 6:.1f}" y="{y + _BAR - 3}">{format_figure(figure, column)}</text></g>'
        )
    return lines


def _figure(row: FunctionStatistics, column: str) -> float:
    value = COLUMNS[column](row)
    return value / NANOSECONDS if column in _IN_NANOSECONDS else value


def _note(snapshot: Snapshot) -> str:
    missing = not all(losses.complete for losses in snapshot.losses.values())
    services = ", ".join(map(_legal, snapshot.services)) or "no service"
    return f"generation {snapshot.generation}, {_short(services)}{'; not complete' if missing else ''}"


def _short(name: str) -> str:
    """Cut a name out of its middle: routes begin alike and end alike."""
    if len(name) <= _NAME_CHARACTERS:
        return name
    half = (_NAME_CHARACTERS - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _legal(name: str) -> str:
    """Replace what XML 1.0 cannot hold, escaped or not, and what turns a line around."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
