"""Adding to stored rows: a minute gains what was counted, an hour gains a minute.

Runs inside a transaction. What is stored is never changed in place, so a slice that is rolled back can be written again
and adds once.
"""

from collections.abc import Sequence

from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.records import (
    HOUR_LOSSES,
    MINUTE,
    MINUTE_LOSSES,
    DamagedRecordError,
    Slot,
    decode_losses,
    decode_statistics,
    encode_losses,
    encode_statistics,
)
from chronoprof_sidecar.store.embedded.sums import erase_sums

Figures = FunctionStatistics | Losses
"""What a record of the history holds."""

_LOSSES = (MINUTE_LOSSES, HOUR_LOSSES)


def decode_row(slot: Slot, record: bytes) -> tuple[int, Figures]:
    """Return the lsn and the figures of a record of the history, whichever kind it is.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    return decode_losses(slot, record) if slot.kind in _LOSSES else decode_statistics(slot, record)


def add_rows(database: Database, deltas: Sequence[tuple[Slot, Figures]], lsn: int, now_ns: int) -> list[Slot]:
    """Add each delta to what is stored at its slot, which then counts journal entries up to `lsn`.

    A damaged record is kept aside, counted among the losses of its minute or hour, and replaced by the delta alone.
    Returns the slots where that happened.
    """
    damaged: list[Slot] = []
    erase_sums(database, (slot for slot, _ in deltas))
    for slot, delta in deltas:
        stored = database.load_row(slot)
        try:
            record = _add(slot, lsn, stored, delta)
        except DamagedRecordError:
            damaged.append(slot)
            database.keep_damaged(now_ns, "rows", slot, stored or b"")
            record = _add(slot, lsn, None, delta)
        database.write_rows([(slot, record)])
    for slot in damaged:
        count_set_aside(database, slot)
    return damaged


def _add(slot: Slot, lsn: int, stored: bytes | None, delta: Figures) -> bytes:
    """Return the record of what is stored at `slot` plus `delta`; neither changes."""
    if isinstance(delta, Losses):
        losses = decode_losses(slot, stored)[1] if stored else Losses()
        losses.merge(delta)
        return encode_losses(slot, lsn, losses)
    if stored is None:
        return encode_statistics(slot, lsn, delta)
    _, row = decode_statistics(slot, stored)
    row.merge(delta)
    return encode_statistics(slot, lsn, row)


def count_set_aside(database: Database, slot: Slot, records: int = 1) -> None:
    """Count records that are kept aside among the losses beside a slot, which count no other journal entries for it."""
    kind = slot.kind if slot.kind in _LOSSES else (MINUTE_LOSSES if slot.kind == MINUTE else HOUR_LOSSES)
    beside = Slot(kind, slot.span, slot.service, "", "")
    stored = database.load_row(beside)
    try:
        lsn, losses = decode_losses(beside, stored) if stored else (0, Losses())
    except DamagedRecordError:
        return  # it is counted, this one with it, when its own turn comes
    losses.merge(Losses(set_aside=records))
    database.write_rows([(beside, encode_losses(beside, lsn, losses))])
