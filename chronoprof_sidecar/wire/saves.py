"""Saves: a whole window as a JSON file that can be loaded, compared and merged later, or as a CSV export.

Owns both formats. A JSON save has, besides what loading needs, a top-level `data` and `meta` like the answer of
`GET data`, so that a script written for the one reads the other.
"""

import csv
import io
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
import orjson
from msgspec import Meta

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics, statistics_of
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.wire.judging import refuse_contradiction
from chronoprof_sidecar.wire.reports import report_row, report_window
from chronoprof_sidecar.wire.schema import Bucket, DurationNs, FunctionItem
from chronoprof_sidecar.wire.times import format_time

SAVE_SCHEMA_VERSION: Final = 1
_MAX_EXACT: Final = 2**53
"""The largest integer up to which every JSON reader is exact; larger ones are written as decimal strings."""
# A cell may begin at any of these separators: which of them ends one is for a spreadsheet's locale to say. Formulas
# begin with = + - @ and, in Japanese, with the full-width forms; the apostrophe is here to make the escape reversible.
_FORMULA: Final = re.compile(r"(?:^|(?<=[,;|\t\r\n]))(?=\s*['=+\-@\uff1d\uff0b\uff0d\uff20])")

Integer = Annotated[int, Meta(ge=0)] | Annotated[str, Meta(pattern="^[0-9]{1,40}$")]
Count = Annotated[int, Meta(ge=1)] | Annotated[str, Meta(pattern="^[1-9][0-9]{0,39}$")]


class SavedRow(msgspec.Struct, kw_only=True):
    """One row of a save, per (function name, service, version); exact, in whole nanoseconds."""

    function_name: str
    service: str
    version: str
    calls: Count
    errors: Integer
    total_ns: Integer
    min_ns: DurationNs
    max_ns: DurationNs
    first_seen_ns: Integer
    last_seen_ns: Integer
    buckets: list[Bucket]
    counts: list[Count]


class SavedLosses(msgspec.Struct, kw_only=True):
    """The loss figures of one service in a save."""

    service: str
    dropped: Integer = 0
    rejected: Integer = 0
    unknown: Integer = 0
    overflowed: Integer = 0
    set_aside: Integer = 0
    sampled: Integer = 0
    late: Integer = 0


class Save(msgspec.Struct, kw_only=True):
    """What loading a save needs; `data` and `meta` are for readers."""

    schema_version: int
    generation: int
    window_start_ns: Integer
    window_end_ns: Integer
    losses: list[SavedLosses]
    rows: list[SavedRow]


_decode_save = msgspec.json.Decoder(Save).decode


def render_json_save(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield a JSON save of a whole window, row by row, so that a large one never stands in memory as text."""
    head = {
        "schema_version": SAVE_SCHEMA_VERSION,
        "generation": snapshot.generation,
        "window_start": format_time(snapshot.window_start_ns),
        "window_end": format_time(snapshot.taken_ns),
        "window_start_ns": _portable(snapshot.window_start_ns),
        "window_end_ns": _portable(snapshot.taken_ns),
        "losses": [
            {"service": service, **{name: _portable(getattr(losses, name)) for name in Losses.__slots__}}
            for service, losses in sorted(snapshot.losses.items())
        ],
    }
    yield orjson.dumps(head)[:-1] + b',"rows":['
    separator = b"\n"
    for key, row in snapshot.rows:
        yield separator + orjson.dumps(_save_row(key, row))
        separator = b",\n"
    yield b"],\n"
    yield orjson.dumps(report_window(snapshot))[1:] + b"\n"


def render_csv_save(snapshot: Snapshot) -> Iterator[bytes]:
    """Yield a CSV export of a whole window: a header, then a row per (function name, service, version).

    No spreadsheet takes a name or label, or a part of one, for a formula; see `escape_formulas`.
    """
    yield _csv_line(["function_name", "service", "version", *_CSV_COLUMNS])
    for key, row in snapshot.rows:
        report = report_row(row)
        yield _csv_line([*map(escape_formulas, key), *(report[column] for column in _CSV_COLUMNS)])


def escape_formulas(text: str) -> str:
    """Return `text` with an apostrophe wherever a cell could begin with a formula (OWASP, "CSV Injection").

    That is before `=`, `+`, `-`, `@`, one of their full-width forms or an apostrophe, or the space that precedes them,
    at the beginning and behind each `,`, `;`, `|`, tab or line break. A program that takes those apostrophes away has
    exactly the text that went in.
    """
    return _FORMULA.sub("'", text)


def load_save(content: bytes) -> Snapshot:
    """Return the window that a JSON save holds.

    Raises:
        MalformedRequestError: not a save of a schema version that this release knows.
    """
    try:
        save = _decode_save(content)
        if not 1 <= save.schema_version <= SAVE_SCHEMA_VERSION:
            raise MalformedRequestError(f"the save has schema version {save.schema_version}, unknown to this release")
        rows = [_load_row(row) for row in save.rows]
        losses = {each.service: _load_losses(each) for each in save.losses}
        window_start_ns, window_end_ns = int(save.window_start_ns), int(save.window_end_ns)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedRequestError(f"not a save: {error}") from None
    return Snapshot(
        generation=save.generation,
        window_start_ns=window_start_ns,
        taken_ns=window_end_ns,
        services=sorted({key.service for key, _ in rows} | losses.keys()),
        rows=rows,
        losses=losses,
    )


_CSV_COLUMNS: Final = (
    *("calls", "total_time", "min_time", "max_time", "avg_time"),
    *("p50_time", "p90_time", "p95_time", "p99_time", "errors", "first_seen", "last_seen"),
)


def _save_row(key: RowKey, row: FunctionStatistics) -> dict[str, Any]:
    buckets, counts = row.histogram.to_sparse()
    return {
        **key._asdict(),
        "calls": _portable(row.calls),
        "errors": _portable(row.errors),
        "total_ns": _portable(row.total_ns),
        "min_ns": row.min_ns,
        "max_ns": row.max_ns,
        "first_seen_ns": _portable(row.first_seen_ns),
        "last_seen_ns": _portable(row.last_seen_ns),
        "buckets": buckets,
        "counts": counts if row.calls <= _MAX_EXACT else [_portable(count) for count in counts],
    }


def _load_row(saved: SavedRow) -> tuple[RowKey, FunctionStatistics]:
    item = FunctionItem(
        calls=int(saved.calls),
        errors=int(saved.errors),
        total_ns=int(saved.total_ns),
        min_ns=saved.min_ns,
        max_ns=saved.max_ns,
        buckets=saved.buckets,
        counts=[int(count) for count in saved.counts],
    )
    reason = refuse_contradiction(item)
    if reason:
        raise ValueError(f"{reason} - in {saved.function_name!r}")
    row = statistics_of(item, int(saved.first_seen_ns))
    row.last_seen_ns = int(saved.last_seen_ns)
    return RowKey(saved.function_name, saved.service, saved.version), row


def _load_losses(saved: SavedLosses) -> Losses:
    return Losses(**{name: int(getattr(saved, name)) for name in Losses.__slots__})


def _portable(number: int) -> Integer:
    return number if number <= _MAX_EXACT else str(number)


def _csv_line(values: list[Any]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue().encode()
