"""The JSON of a save: a whole window that can be loaded, compared and merged later, on this host or another.

Owns its fields, and reads and writes them. Stdlib-only: the command line compares and merges files where nothing else
is installed, so whoever writes brings the encoder.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics, statistics_of
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import MAX_DURATION_NS, is_clean
from chronoprof_sidecar.wire.judging import refuse_contradiction
from chronoprof_sidecar.wire.rows import Report, report_window
from chronoprof_sidecar.wire.times import format_time

SAVE_SCHEMA_VERSION: Final = 1
_MAX_EXACT: Final = 2**53
"""The largest integer up to which every JSON reader is exact; larger ones are written as decimal strings."""
_MAX_DIGITS: Final = 40
_TOO_LARGE: Final = 10**_MAX_DIGITS
# JSON has no line break inside of a string, so these stand nowhere else in a save.
_ROWS_BEGIN: Final = b',"rows":[\n'
_NEXT_ROW: Final = b",\n"
_ROWS_END: Final = b"],\n"


def encode_compact(report: object) -> bytes:
    """Encode with the standard library what a faster encoder would."""
    return json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode()


def write_save(snapshot: Snapshot, encode: Callable[[object], bytes]) -> Iterator[bytes]:
    """Yield a save of a whole window, row by row, so that a large one never stands in memory as text."""
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
    yield encode(head)[:-1] + _ROWS_BEGIN
    separator = b""
    for key, row in snapshot.rows:
        yield separator + encode(_save_row(key, row))
        separator = _NEXT_ROW
    yield _ROWS_END
    yield encode(report_window(snapshot))[1:] + b"\n"


def load_save(content: bytes) -> Snapshot:
    """Return the window that a save holds.

    Raises:
        MalformedRequestError: not a save of a schema version that this release knows.
    """
    try:
        return _load(_decode(content))
    except KeyError as error:
        raise MalformedRequestError(f"not a save: it has no {error}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedRequestError(f"not a save: {error}") from None


class _SavedRow(NamedTuple):
    """The figures of one row; fulfils `domain.statistics.Aggregate`."""

    calls: int
    errors: int
    total_ns: int
    min_ns: int
    max_ns: int
    buckets: list[int]
    counts: list[int]
    sample_every: int = 1


def _decode(content: bytes) -> Any:
    """Decode JSON; where its rows stand on lines of their own, as `write_save` has them, one by one.

    Decoding all at once would hold the interpreter for as long: a second for 10 000 functions.
    """
    head, found, rest = content.partition(_ROWS_BEGIN)
    lines, _, tail = rest.partition(_ROWS_END)
    if not found:
        return json.loads(content)
    try:
        save = json.loads(head + _ROWS_BEGIN + _ROWS_END + tail)
        save["rows"] = [json.loads(line) for line in lines.split(_NEXT_ROW)]
    except (ValueError, TypeError):
        return json.loads(content)
    return save


def _load(save: Any) -> Snapshot:
    save = _typed(save, dict)
    version = _typed(save["schema_version"], int)
    if not 1 <= version <= SAVE_SCHEMA_VERSION:
        raise ValueError(f"schema version {version} is unknown to this release")
    rows = [_load_row(_typed(row, dict)) for row in _typed(save["rows"], list)]
    losses = {_text(each["service"]): _load_losses(each) for each in _typed(save["losses"], list)}
    return Snapshot(
        generation=_typed(save["generation"], int),
        window_start_ns=_whole(save["window_start_ns"]),
        taken_ns=_whole(save["window_end_ns"]),
        services=sorted({key.service for key, _ in rows} | losses.keys()),
        rows=rows,
        losses=losses,
    )


def _load_row(saved: Mapping[str, Any]) -> tuple[RowKey, FunctionStatistics]:
    key = RowKey(*(_text(saved[name]) for name in RowKey._fields))
    figures = _SavedRow(
        **{name: _whole(saved[name]) for name in ("calls", "errors", "total_ns", "min_ns", "max_ns")},
        buckets=[_typed(bucket, int) for bucket in _typed(saved["buckets"], list)],
        counts=[_whole(count) for count in _typed(saved["counts"], list)],
    )
    reason = _refuse_bounds(figures) or refuse_contradiction(figures)
    if reason:
        raise ValueError(f"{reason} - in {key.function_name!r}")
    row = statistics_of(figures, _whole(saved["first_seen_ns"]))
    row.last_seen_ns = _whole(saved["last_seen_ns"])
    return key, row


def _refuse_bounds(row: _SavedRow) -> str | None:
    if row.max_ns > MAX_DURATION_NS:
        return "max_ns is longer than any call"
    if not (row.buckets and all(row.counts)):
        return "there are no calls in it, or in one of its buckets"
    return None


def _load_losses(saved: Mapping[str, Any]) -> Losses:
    return Losses(**{name: _whole(saved.get(name, 0)) for name in Losses.__slots__})


def _save_row(key: RowKey, row: FunctionStatistics) -> Report:
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


def _portable(number: int) -> int | str:
    return number if number <= _MAX_EXACT else str(number)


def _whole(value: Any) -> int:
    """Return a whole number from 0 that `_portable` wrote."""
    if type(value) is int and 0 <= value < _TOO_LARGE:
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MAX_DIGITS:
        return int(value)
    raise ValueError(f"{value!r:.40} is no whole number")


def _text(value: Any) -> str:
    if not is_clean(_typed(value, str)):
        raise ValueError(f"{value!r:.40} holds a control character")
    return str(value)


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r:.40} is no {kind.__name__}")
    return value
