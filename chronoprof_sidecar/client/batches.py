"""One ingest body: which items it holds, and its bytes (the `functions` form of the wire).

Pure. Owns packing and encoding. Encodes item by item, so that a body of half a megabyte never keeps the interpreter to
itself for the milliseconds that one `json.dumps` of it would. Must not know of answers or retries.
"""

import json
from typing import Final, NamedTuple

from chronoprof_sidecar.client.books import Losses
from chronoprof_sidecar.client.delta import Aggregate, Delta, Item

MAX_BODY_BYTES: Final = 512 * 1024
"""Half of what a sidecar takes by default."""
_ENVELOPE_BYTES: Final = 4096
"""More than an envelope can take: three labels of 128 characters at 6 bytes, an id, and figures."""
# `json.dumps` with separators would build an encoder for every item.
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode


class Sender(NamedTuple):
    """What a process says about itself in every batch; empty labels are left out."""

    service: str
    version: str
    instance: str


class Batch:
    """Items that travel in one body, already encoded, with the losses that it reports.

    Memory: the encoded items and their aggregates; at most one batch exists per process.
    """

    __slots__ = ("_encoded", "calls", "final", "items", "losses", "span_seconds")

    def __init__(self, items: list[Item], encoded: list[bytes], *, span_seconds: float) -> None:
        self.items = items
        self.calls = sum(series.calls_of(aggregate.calls) for series, aggregate in items)
        self.losses = Losses()
        self.span_seconds = span_seconds
        self.final = False
        self._encoded = encoded

    def encode(self, sender: Sender, client_id: str, seq: int) -> bytes:
        """Return the body under this sender's id and sequence number."""
        envelope: dict[str, object] = {"client": {"id": client_id, "seq": seq}}
        envelope.update((label, text) for label, text in sender._asdict().items() if text)
        envelope["span_seconds"] = round(self.span_seconds, 3)
        envelope.update((loss, calls) for loss, calls in self.losses._asdict().items() if calls)
        if self.final:
            envelope["final"] = True
        head = _dump(envelope)
        if not self._encoded and (self.final or any(self.losses)):
            return head
        return b"".join((head[:-1], b',"functions":{', b",".join(self._encoded), b"}}"))


def pack(delta: Delta, *, limit_bytes: int, span_seconds: float) -> Batch:
    """Take items out of the delta until the body would pass the limit; at least one, however large, if there is one.

    A name that is in the batch already (at another sampling rate) ends it: a JSON object holds each name once.
    """
    items: list[Item] = []
    encoded: list[bytes] = []
    names: set[str] = set()
    room_bytes = limit_bytes - _ENVELOPE_BYTES
    while (item := delta.take()) is not None:
        series, aggregate = item
        text = _encode_item(item)
        if items and (len(text) >= room_bytes or series.name in names):
            delta.add(series, aggregate)
            break
        items.append(item)
        encoded.append(text)
        names.add(series.name)
        room_bytes -= len(text) + 1
    return Batch(items, encoded, span_seconds=span_seconds)


def _encode_item(item: Item) -> bytes:
    series, aggregate = item
    fields = _fields(aggregate)
    if series.sample_every > 1:
        fields["sample_every"] = series.sample_every
    return _dump(series.name) + b":" + _dump(fields)


def _fields(aggregate: Aggregate) -> dict[str, object]:
    buckets = sorted(aggregate.buckets)
    return {
        "calls": aggregate.calls,
        "errors": aggregate.errors,
        "total_ns": aggregate.total_ns,
        "min_ns": aggregate.min_ns,
        "max_ns": aggregate.max_ns,
        "buckets": buckets,
        "counts": [aggregate.buckets[bucket] for bucket in buckets],
    }


def _dump(value: object) -> bytes:
    return _ENCODE(value).encode()
