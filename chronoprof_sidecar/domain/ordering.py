"""The order of rows in an answer: which columns there are to sort by, and what a row is worth in each."""

from collections.abc import Callable
from typing import Final

from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Rows

PERCENTS: Final = (50, 90, 95, 99)
"""The percentiles of a row in an answer."""


def _percentile(percent: int) -> Callable[[FunctionStatistics], float]:
    return lambda row: row.percentiles([percent])[0]


COLUMNS: Final[dict[str, Callable[[FunctionStatistics], float]]] = {
    "calls": lambda row: row.calls,
    "total_time": lambda row: row.total_ns,
    "min_time": lambda row: row.min_ns,
    "max_time": lambda row: row.max_ns,
    "avg_time": lambda row: row.avg_time,
    **{f"p{percent}_time": _percentile(percent) for percent in PERCENTS},
    "errors": lambda row: row.errors,
    "first_seen": lambda row: row.first_seen_ns,
    "last_seen": lambda row: row.last_seen_ns,
}
NAME_COLUMN: Final = "function_name"
SORT_COLUMNS: Final = (*COLUMNS, NAME_COLUMN)


def sort_rows(rows: Rows, column: str, *, descending: bool, limit: int | None) -> list[tuple[str, FunctionStatistics]]:
    """Return rows by a column of `SORT_COLUMNS`, at most `limit`; equal rows come by name, ascending."""
    by_name = sorted(rows.items())
    if column == NAME_COLUMN:
        ordered = by_name[::-1] if descending else by_name
    else:
        worth = COLUMNS[column]
        ordered = sorted(by_name, key=lambda named: worth(named[1]), reverse=descending)
    return ordered if limit is None else ordered[:limit]
