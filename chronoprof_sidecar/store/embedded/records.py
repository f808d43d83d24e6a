"""Stored records: values to sealed blobs and back.

Every record is one blob that begins with the CRC32 of its key and payload, so a flipped bit in either costs that
record alone. Integers of any size survive: those beyond 63 bits become an extension type of MessagePack.
"""

from array import array
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from chronoprof_sidecar.domain.batch import Batch, ItemError, Labels
from chronoprof_sidecar.domain.histogram import Histogram
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.senders import Sender
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Placement
from chronoprof_sidecar.protocol import WIRE_VERSION
from chronoprof_sidecar.wire.batches import decode_batch

WINDOW: Final = 1
"""Kind of a row of a window; its span is the generation."""
MINUTE: Final = 2
"""Kind of a row of one minute; its span is the minute of Unix time."""
WINDOW_LOSSES: Final = 3
MINUTE_LOSSES: Final = 4
HOUR: Final = 5
"""Kind of a row of the minutes of one hour that are no longer kept one by one; its span is the hour of Unix time."""
HOUR_LOSSES: Final = 6
HISTORY_KINDS: Final = (MINUTE, MINUTE_LOSSES, HOUR, HOUR_LOSSES)
MINUTE_SUM: Final = 7
"""Kind of the one record that merges all functions of a minute; see `sums`."""
HOUR_SUM: Final = 8
SUM_OF: Final = {MINUTE: MINUTE_SUM, HOUR: HOUR_SUM}
SUM_KINDS: Final = tuple(SUM_OF.values())

_STATE: Final = "state"
_CRC_BYTES: Final = 4
_MAX_PACKED: Final = 2**63


class DamagedRecordError(Exception):
    """A stored record is not what was written."""


_BIG_INTEGER: Final = 1
"""MessagePack extension type: a little-endian two's complement integer of any length."""


def _restore_extension(code: int, data: memoryview) -> int:
    if code != _BIG_INTEGER:
        raise DamagedRecordError(f"unknown extension type {code}")
    return int.from_bytes(data, "little", signed=True)


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(ext_hook=_restore_extension).decode


class Slot(NamedTuple):
    """Where a row is stored; losses have no version and no function name."""

    kind: int
    span: int
    service: str
    version: str
    function_name: str


class Entry(NamedTuple):
    """One counted batch, as the journal holds it: what replay needs to repeat, never to decide again."""

    lsn: int
    arrived_ns: int
    generation: int
    service_minute: int
    placement: Placement
    batch: Batch
    sender: Sender | None
    """What is remembered of the sender once this is counted; a replay finds that out anew."""


def encode_statistics(slot: Slot, lsn: int, row: FunctionStatistics) -> bytes:
    """Return the record of a row that counts journal entries up to `lsn`."""
    return _seal(slot, (lsn, *_pack_statistics(row)))


def decode_statistics(slot: Slot, record: bytes) -> tuple[int, FunctionStatistics]:
    """Return a row's lsn and statistics.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    lsn, *packed = _unseal(slot, record)
    return lsn, _restore_statistics(*packed)


def encode_sums(slot: Slot, sums: Mapping[Labels, FunctionStatistics]) -> bytes:
    """Return the record of what all functions of each pair of labels count together."""
    return _seal(slot, [(*labels, *_pack_statistics(row)) for labels, row in sums.items()])


def decode_sums(slot: Slot, record: bytes) -> dict[Labels, FunctionStatistics]:
    """Return what all functions of each pair of labels count together.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    sums = _unseal(slot, record)
    return {Labels(service, version): _restore_statistics(*packed) for service, version, *packed in sums}


def encode_losses(slot: Slot, lsn: int, losses: Losses) -> bytes:
    """Return the record of loss figures that count journal entries up to `lsn`."""
    return _seal(slot, (lsn, *map(_pack, astuple(losses))))


def decode_losses(slot: Slot, record: bytes) -> tuple[int, Losses]:
    """Return the lsn and the figures of a loss record.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    lsn, *figures = _unseal(slot, record)
    return lsn, Losses(*figures)


def encode_sender(sender: Sender) -> bytes:
    """Return the record of a sender."""
    return _seal(sender.id, [_pack(value) if isinstance(value, int) else value for value in sender])


def decode_sender(sender_id: str, record: bytes) -> Sender:
    """Return a stored sender.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    sender = Sender(*_unseal(sender_id, record))
    return sender._replace(errors=tuple(ItemError(*error) for error in sender.errors))


def encode_state(values: Mapping[str, int | str]) -> bytes:
    """Return the record of the single values that a store remembers beside its rows."""
    return _seal(_STATE, dict(values))


def decode_state(record: bytes) -> dict[str, int | str]:
    """Return the single values of a store.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    values: dict[str, int | str] = _unseal(_STATE, record)
    return values


def stored_lsn(slot: Slot, record: bytes) -> int:
    """Return the lsn of a row or of loss figures, without the rest.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    lsn: int = _unseal(slot, record)[0]
    return lsn


def is_whole(key: Slot | str | int, record: bytes) -> bool:
    """Say whether a record of any kind is what was written at `key`."""
    try:
        _unseal(key, record)
    except DamagedRecordError:
        return False
    return True


def encode_entry(entry: Entry) -> bytes:
    """Return the journal record of a counted batch: its body as it came, and what was decided about it."""
    placement = entry.placement
    return _seal(
        entry.lsn,
        (
            entry.arrived_ns,
            entry.generation,
            entry.service_minute,
            WIRE_VERSION,
            tuple(placement.labels),
            sorted(placement.overflowed),
            entry.batch.body,
        ),
    )


def decode_entry(lsn: int, record: bytes) -> Entry:
    """Return a counted batch from the journal.

    Raises:
        DamagedRecordError: the record is not what was written.
    """
    arrived_ns, generation, service_minute, wire_version, labels, overflowed, body = _unseal(lsn, record)
    if wire_version != WIRE_VERSION:
        raise DamagedRecordError(f"journal entry {lsn} has wire version {wire_version}")
    placement = Placement(Labels(*labels), frozenset(overflowed))
    return Entry(lsn, arrived_ns, generation, service_minute, placement, decode_batch(body), None)


def _pack_statistics(row: FunctionStatistics) -> tuple[object, ...]:
    figures = (row.errors, row.total_ns, row.min_ns, row.max_ns, row.first_seen_ns, row.last_seen_ns)
    histogram = row.histogram
    counts = histogram.counts
    # No count exceeds their sum, and checking that alone spares looking at each of them.
    packed = counts.tolist() if isinstance(counts, array) and row.calls < _MAX_PACKED else list(map(_pack, counts))
    zeros = (_pack(histogram.zeros),) if histogram.zeros else ()
    return (*map(_pack, figures), histogram.offset, packed, *zeros)


def _restore_statistics(  # noqa: PLR0913, PLR0917  as they are packed
    errors: int, total_ns: int, min_ns: int, max_ns: int, first_ns: int, last_ns: int, *histogram: Any
) -> FunctionStatistics:
    row = FunctionStatistics(min_ns, max_ns, first_ns, last_ns)
    row.errors = errors
    row.total_ns = total_ns
    row.histogram = Histogram.restore(*histogram)
    return row


def _seal(key: object, values: object) -> bytes:
    payload = _encode(values)
    return _checksum(key, payload) + payload


def _unseal(key: object, record: object) -> Any:
    if not isinstance(record, bytes):  # SQLite keeps a value's type beside it, where a bit may flip, too
        raise DamagedRecordError(f"what is stored for {key!r} is no record")
    payload = record[_CRC_BYTES:]
    if record[:_CRC_BYTES] != _checksum(key, payload):
        raise DamagedRecordError(f"the checksum of {key!r} does not match")
    return _decode(payload)


def _checksum(key: object, payload: bytes) -> bytes:
    return crc32(payload, crc32(_encode(key))).to_bytes(_CRC_BYTES, "little")


def _pack(number: int) -> int | msgspec.msgpack.Ext:
    if -_MAX_PACKED <= number < _MAX_PACKED:
        return number
    return msgspec.msgpack.Ext(_BIG_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True))
