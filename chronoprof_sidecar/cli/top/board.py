"""The figures that `top` shows: the last answer, and how often each function was called between looks.

Owns rates and their trend. Knows no terminal and no keys.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from chronoprof_sidecar.cli.data import describe_losses
from chronoprof_sidecar.cli.sparkline import sparkline
from chronoprof_sidecar.cli.table import Column
from chronoprof_sidecar.cli.text import NOTHING, format_count, format_duration, format_text, harmless, is_number
from chronoprof_sidecar.cli.transport import as_mapping

RATE: Final = "CALLS/s"
TREND: Final = "TREND"
COLUMNS: Final = (
    Column("FUNCTION", numeric=False),
    Column(RATE),
    Column(TREND, numeric=False),
    *map(Column, ("CALLS", "ERRORS", "TOTAL", "AVG", "P50", "P95", "P99", "MAX")),
)
DURATIONS: Final = ("total_time", "avg_time", "p50_time", "p95_time", "p99_time", "max_time")
LOOKS: Final = 60
"""Looks that a trend remembers."""


class Board:
    """What was last answered, and the rates since the first look."""

    def __init__(self) -> None:
        self._report: Mapping[str, Any] = {}
        self._looked_at: float | None = None
        self._calls: dict[str, float] = {}
        self._rates: dict[str, deque[float | None]] = {}

    def update(self, report: Mapping[str, Any], now: float) -> None:
        """Take an answer of `GET data` that came at `now`, in seconds of a steady clock."""
        rows = as_mapping(report.get("data"))
        calls = {name: row["calls"] for name, row in rows.items() if is_number(as_mapping(row).get("calls"))}
        elapsed = None if self._looked_at is None else now - self._looked_at
        for name, count in calls.items():
            self._rates.setdefault(name, deque(maxlen=LOOKS)).append(self._rate(name, count, elapsed))
        # A function that was not in this answer may be in the next: then its rate is unknown, not 0.
        for name in self._rates.keys() - calls.keys():
            del self._rates[name]
        self._report, self._looked_at, self._calls = report, now, calls

    def rows(self, trend_cells: int) -> list[list[str]]:
        """Return the cells of `COLUMNS` for every row, in the order of the answer, harmless.

        The newest figure of a trend stands in the last of its cells from the first look on.
        """
        return [self._cells(name, as_mapping(row), trend_cells) for name, row in as_mapping(self._data()).items()]

    def remarks(self) -> list[str]:
        """Return what must be known about the figures: whose they are, and what is missing from them."""
        meta = as_mapping(self._report.get("meta"))
        services = ", ".join(map(format_text, meta.get("services") or ())) or NOTHING
        functions = format_count(meta.get("functions"))
        noun = "function" if functions == "1" else "functions"
        return [f"{functions} {noun} of {services}", describe_losses(meta)]

    def is_complete(self) -> bool:
        """Say whether nothing was lost."""
        return as_mapping(self._report.get("meta")).get("complete") is True

    def _data(self) -> object:
        return self._report.get("data", {})

    def _rate(self, name: str, count: float, elapsed: float | None) -> float | None:
        before = self._calls.get(name)
        if before is None or not elapsed or count < before:  # a reset begins anew
            return None
        return (count - before) / elapsed

    def _cells(self, name: str, row: Mapping[str, Any], trend_cells: int) -> list[str]:
        rates = self._rates.get(name) or [None]
        rate = NOTHING if rates[-1] is None else f"{rates[-1]:.1f}"
        trend = sparkline(list(rates)[-trend_cells:]).rjust(trend_cells)
        counts = [format_count(row.get("calls")), format_count(row.get("errors"))]
        return [harmless(name), rate, trend, *counts, *(format_duration(row.get(column)) for column in DURATIONS)]
