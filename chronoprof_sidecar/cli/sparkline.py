"""Sparklines: a row of figures over time in as many cells (Tufte, "Beautiful Evidence", 2006)."""

from collections.abc import Sequence
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_NOTHING: Final = " "


def sparkline(values: Sequence[float | None]) -> str:
    """Return a bar for each value, from 0 at the lowest to the largest of them at the highest; None is a gap."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(_NOTHING if value is None else _bar(value, top) for value in values)


def _bar(value: float, top: float) -> str:
    if top <= 0:
        return _BARS[0]
    return _BARS[min(len(_BARS) - 1, int(max(0.0, value) / top * len(_BARS)))]
