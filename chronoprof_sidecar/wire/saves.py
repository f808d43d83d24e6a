"""Files of a whole window: the JSON save, whose format `save_format` owns, and the CSV export."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any, Final

import orjson

from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.wire.rows import report_row
from chronoprof_sidecar.wire.save_format import SAVE_SCHEMA_VERSION, load_save, write_save

__all__ = ["SAVE_SCHEMA_VERSION", "escape_formulas", "is_csv_save", "load_save", "render_csv_save", "render_json_save"]

# A cell may begin at any of these separators: which of them ends one is for a spreadsheet's locale to say. Formulas
# begin with = + - @ and, in Japanese, with the full-width forms; the apostrophe is here to make the escape reversible.
_FORMULA: Final = re.compile(r"(?:^|(?<=[,;|\t\r\n]))(?=\s*['=+\-@\uff1d\uff0b\uff0d\uff20])")


def render_json_save(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield a JSON save of a whole window, row by row, at the speed of the fastest encoder."""
    return write_save(snapshot, orjson.dumps)


def render_csv_save(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield a CSV export of a whole window: a header, then a row per (function name, service, version).

    No spreadsheet takes a name or label, or a part of one, for a formula; see `escape_formulas`.
    """
    yield _csv_header()
    for key, row in snapshot.rows:
        report = report_row(row)
        yield _csv_line([*map(escape_formulas, key), *(report[column] for column in _CSV_COLUMNS)])


def is_csv_save(content: bytes) -> bool:
    """Say whether a CSV file begins as an export of ours."""
    return content.startswith(_csv_header())


def escape_formulas(text: str) -> str:
    """Return `text` with an apostrophe wherever a cell could begin with a formula (OWASP, "CSV Injection").

    That is before `=`, `+`, `-`, `@`, one of their full-width forms or an apostrophe, or the space that precedes them,
    at the beginning and behind each `,`, `;`, `|`, tab or line break. A program that takes those apostrophes away has
    exactly the text that went in.
    """
    return _FORMULA.sub("'", text)


_CSV_COLUMNS: Final = (
    *("calls", "total_time", "min_time", "max_time", "avg_time"),
    *("p50_time", "p90_time", "p95_time", "p99_time", "errors", "first_seen", "last_seen"),
)


def _csv_header() -> bytes:
    return _csv_line(["function_name", "service", "version", *_CSV_COLUMNS])


def _csv_line(values: list[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue().encode()
