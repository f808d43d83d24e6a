import pytest

from chronoprof_sidecar.domain.ordering import SORT_COLUMNS, sort_rows
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Rows
from tests.domain.building import statistics

MS = 1_000_000
ASCENDING = {
    "calls": ["slow", "mixed", "fast"],
    "total_time": ["fast", "slow", "mixed"],
    "min_time": ["mixed", "fast", "slow"],
    "max_time": ["fast", "slow", "mixed"],
    "avg_time": ["fast", "slow", "mixed"],
    "p50_time": ["mixed", "fast", "slow"],
    "p90_time": ["fast", "slow", "mixed"],
    "p95_time": ["fast", "slow", "mixed"],
    "p99_time": ["fast", "slow", "mixed"],
    "errors": ["slow", "fast", "mixed"],
    "first_seen": ["mixed", "slow", "fast"],
    "last_seen": ["fast", "mixed", "slow"],
    "function_name": ["fast", "mixed", "slow"],
}


def three_rows() -> Rows:
    """Return three rows that no two kinds of columns put into the same order."""
    rows = {
        "fast": statistics([2 * MS] * 4, errors=1, arrived_ns=30),
        "slow": statistics([50 * MS], arrived_ns=20),
        "mixed": statistics([MS, MS, 900 * MS], errors=2, arrived_ns=10),
    }
    rows["slow"].last_seen_ns, rows["mixed"].last_seen_ns, rows["fast"].last_seen_ns = 90, 80, 70
    return rows


def names(rows: list[tuple[str, FunctionStatistics]]) -> list[str]:
    """Return the names of ordered rows."""
    return [name for name, _ in rows]


def test_every_column_of_a_row_sorts() -> None:
    """The columns to sort by are all columns of a row, and the name."""
    assert sorted(ASCENDING) == sorted(SORT_COLUMNS)


@pytest.mark.parametrize(("column", "expected"), ASCENDING.items())
def test_rows_come_in_the_order_of_the_column(column: str, expected: list[str]) -> None:
    """Each column sorts by its own figure, both ways, and a limit takes from the top."""
    assert expected == names(sort_rows(three_rows(), column, descending=False, limit=None))
    assert expected[::-1] == names(sort_rows(three_rows(), column, descending=True, limit=None))
    assert expected[::-1][:2] == names(sort_rows(three_rows(), column, descending=True, limit=2))


@pytest.mark.parametrize("descending", [True, False])
def test_equal_rows_come_by_name(descending: bool) -> None:
    """Where a column does not decide, the name does, always from a to z."""
    rows = {name: statistics([MS]) for name in ("c", "a", "b")}
    assert ["a", "b", "c"] == names(sort_rows(rows, "calls", descending=descending, limit=None))


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (1, 1), (3, 3), (100, 3)])
def test_a_limit_is_an_upper_bound(limit: int, count: int) -> None:
    """No more rows than the limit, and no fewer than there are."""
    assert count == len(sort_rows(three_rows(), "calls", descending=True, limit=limit))
