"""Families as `MetricFamily` messages, each behind its length: the only form with native histograms.

Owns the field numbers, which are those of metrics.proto (github.com/prometheus/client_model), and the encoding of
Protocol Buffers (protobuf.dev/programming-guides/encoding) as far as these messages need it: `prometheus_client` has
none of it, and generated code would bring a package for the seven messages below.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final

from chronoprof_sidecar.domain.bounds import CLASSIC_BOUNDS, SCHEMA, ZERO_THRESHOLD, count_classic, to_native
from chronoprof_sidecar.domain.meters import Totals
from chronoprof_sidecar.protocol import NANOSECONDS
from chronoprof_sidecar.wire.metrics.families import Family, Kind, Point

CONTENT_TYPE: Final = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
_VARINT, _FIXED64, _LENGTH_DELIMITED = 0, 1, 2
_ONE_BYTE: Final = [bytes([number]) for number in range(0x80)]
_DOUBLE: Final = Struct("<d")
_POINT_FIELD: Final = {Kind.GAUGE: 2, Kind.COUNTER: 3, Kind.HISTOGRAM: 7}


def render_protobuf(families: Iterable[Family]) -> bytes:
    """Return the exposition; histograms have both their classic and their native buckets."""
    return b"".join(_with_length(_encode_family(family)) for family in families if family.points)


def _encode_family(family: Family) -> bytes:
    head = [_text(1, family.name), _text(2, family.help), _number(3, family.kind.value)]
    return b"".join([*head, *(_message(4, _encode_metric(family.kind, point)) for point in family.points)])


def _encode_metric(kind: Kind, point: Point) -> bytes:
    labels = (_message(1, _text(1, name) + _text(2, value)) for name, value in point.labels.items())
    value = point.value
    if isinstance(value, Totals):
        content = b"".join(_histogram_fields(value)) + _created(15, point)
    else:
        content = _double(1, value) + (_created(3, point) if kind is Kind.COUNTER else b"")
    return b"".join([*labels, _message(_POINT_FIELD[kind], content)])


def _histogram_fields(totals: Totals) -> Iterator[bytes]:
    histogram = totals.histogram
    yield _number(1, histogram.count)
    yield _double(2, totals.total_ns / NANOSECONDS)
    for bound, count in zip(CLASSIC_BOUNDS, count_classic(histogram), strict=True):
        yield _message(3, _number(1, count) + _double(2, bound))
    native = to_native(histogram)
    yield _number(5, _zigzag(SCHEMA))
    yield _double(6, ZERO_THRESHOLD)
    yield _number(7, native.zero_count)
    for offset, length in native.spans:
        yield _message(12, _number(1, _zigzag(offset)) + _number(2, length))
    yield _message(13, b"".join(_varint(_zigzag(delta)) for delta in native.deltas))  # packed


def _created(field: int, point: Point) -> bytes:
    """Return a `google.protobuf.Timestamp`."""
    if point.created_ns is None:
        return b""
    seconds, nanoseconds = divmod(point.created_ns, NANOSECONDS)
    return _message(field, _number(1, seconds) + _number(2, nanoseconds))


# --- the encoding ---------------------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    """Return 7 bits a byte, the low ones first; all bytes but the last have their high bit set."""
    if number <= 0x7F:  # as nearly all are
        return _ONE_BYTE[number]
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _zigzag(number: int) -> int:
    """Return what `sint32` and `sint64` make of a number: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return number * 2 if number >= 0 else -number * 2 - 1


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(number)


def _double(field: int, number: float) -> bytes:
    return _varint(field << 3 | _FIXED64) + _DOUBLE.pack(number)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH_DELIMITED) + _with_length(content)


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _with_length(content: bytes) -> bytes:
    return _varint(len(content)) + content
