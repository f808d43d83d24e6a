"""What the API answers, as JSON bytes.

Owns the shape of every answer. Everything here is plain computation on copies: the server may run it in a thread.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from chronoprof_sidecar.domain.batch import Outcome
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.ordering import PERCENTS, sort_rows
from chronoprof_sidecar.domain.senders import Sender
from chronoprof_sidecar.domain.snapshot import Rotation, SaveInfo, Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import merge_by_name
from chronoprof_sidecar.wire.times import format_time, to_seconds

DEFAULT_SORT: Final = "total_time"
_MAX_INTEGER: Final = 2**63
"""Counts beyond this fit no reader's integers; sums of honest senders never get there."""

Report = dict[str, Any]


def render(report: object) -> bytes:
    """Return any report as JSON."""
    return orjson.dumps(report)


def render_error(code: str, message: str) -> bytes:
    """Return the one shape of every error."""
    return render({"error": {"code": code, "message": message}})


def render_outcome(outcome: Outcome) -> bytes:
    """Return the answer to an ingest request."""
    client = outcome.client
    return render(
        {
            "accepted": outcome.accepted,
            "rejected_items": outcome.rejected_items,
            "errors": [{"item": error.item, "reason": error.reason} for error in outcome.errors],
            "client": {"id": client.id, "seq": client.seq} if client else None,
            "duplicate": outcome.duplicate,
        }
    )


def render_data(
    snapshot: Snapshot, *, sort: str = DEFAULT_SORT, descending: bool = True, limit: int | None = None
) -> bytes:
    """Return the answer to `GET data`: rows merged over their labels, in order, and `meta`.

    Takes about 10 µs a row, and more when sorting by a percentile.
    """
    return render(report_window(snapshot, sort=sort, descending=descending, limit=limit))


def report_window(
    snapshot: Snapshot, *, sort: str = DEFAULT_SORT, descending: bool = True, limit: int | None = None
) -> Report:
    """Return `{"data": {name: row}, "meta": {...}}` of a snapshot."""
    rows = merge_by_name(snapshot.rows)
    ordered = sort_rows(rows, sort, descending=descending, limit=limit)
    return {"data": {name: report_row(row) for name, row in ordered}, "meta": _report_meta(snapshot, len(rows))}


def to_number(count: int) -> int | float:
    """Return a count as a JSON number: exact up to 2^63, the nearest float beyond."""
    return count if count < _MAX_INTEGER else float(count)


def report_row(row: FunctionStatistics) -> Report:
    """Return one row: durations in seconds, times in RFC 3339."""
    report: Report = {
        "calls": to_number(row.calls),
        "total_time": to_seconds(row.total_ns),
        "min_time": to_seconds(row.min_ns),
        "max_time": to_seconds(row.max_ns),
        "avg_time": row.avg_time,
    }
    for percent, seconds in zip(PERCENTS, row.percentiles(PERCENTS), strict=True):
        report[f"p{percent}_time"] = seconds
    report["errors"] = to_number(row.errors)
    report["first_seen"] = format_time(row.first_seen_ns)
    report["last_seen"] = format_time(row.last_seen_ns)
    return report


def report_losses(losses: Iterable[Losses]) -> Report:
    """Return `complete` and the figures behind it, summed."""
    total = Losses()
    for each in losses:
        total.merge(each)
    return {
        "complete": total.complete,
        "dropped": to_number(total.dropped),
        "rejected": to_number(total.rejected),
        "unknown": to_number(total.unknown),
        "overflowed": to_number(total.overflowed),
        "set_aside": to_number(total.set_aside),
        "sampled": total.sampled > 0,
        "late": to_number(total.late),
    }


def render_senders(senders: Sequence[Sender], now_ns: int) -> bytes:
    """Return the answer to `GET senders`: who shipped, the one silent longest first."""
    return render({"senders": [_report_sender(sender, now_ns) for sender in senders]})


def render_saves(saves: Sequence[SaveInfo]) -> bytes:
    """Return the answer to `GET saves`."""
    return render({"saves": [_report_save(save) for save in saves]})


def render_save(save: SaveInfo) -> bytes:
    """Return the answer to `POST save`; its message is the specification's."""
    return render({"message": f"Profiling data saved to {save.name}", "file": _report_save(save)})


def render_rotation(rotation: Rotation) -> bytes:
    """Return the answer to `POST rotate`."""
    return render(
        {
            "message": f"Profiling data saved to {rotation.save.name}",
            "file": _report_save(rotation.save),
            "saved_generation": rotation.saved_generation,
            "generation": rotation.generation,
        }
    )


def _report_meta(snapshot: Snapshot, functions: int) -> Report:
    return {
        "generation": snapshot.generation,
        "window_start": format_time(snapshot.window_start_ns),
        "generated_at": format_time(snapshot.taken_ns),
        "functions": functions,
        "services": list(snapshot.services),
        **report_losses(snapshot.losses.values()),
    }


def _report_sender(sender: Sender, now_ns: int) -> Report:
    return {
        "id": sender.id,
        "service": sender.service,
        "version": sender.version,
        "instance": sender.instance,
        "first_batch": format_time(sender.first_batch_ns),
        "last_batch": format_time(sender.last_batch_ns),
        "silent_seconds": max(0, round(to_seconds(now_ns - sender.last_batch_ns), 3)),
        "batches": sender.seq,
        "calls": to_number(sender.calls),
        "dropped": to_number(sender.dropped),
        "rejected": to_number(sender.rejected),
        "unknown": to_number(sender.unknown),
        "final": sender.final,
    }


def _report_save(save: SaveInfo) -> Report:
    return {"name": save.name, "size_bytes": save.size_bytes, "modified": format_time(save.modified_ns)}
