"""Reads Protocol Buffers without their descriptions: what the encoding alone tells, so independent of our writer."""

import struct
from collections.abc import Iterator
from typing import Any

Fields = dict[int, list[Any]]


def read_varints(content: bytes) -> Iterator[int]:
    """Yield numbers that stand one behind the other."""
    number = shift = 0
    for byte in content:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
    assert shift == 0


def from_zigzag(number: int) -> int:
    """Return what `sint32` or `sint64` stands for."""
    return number // 2 if number % 2 == 0 else -(number + 1) // 2


def read_fields(content: bytes) -> Fields:
    """Return the values by field number: numbers, doubles, and bytes of texts and messages."""
    fields: Fields = {}
    while content:
        tag, content = _take_varint(content)
        value: int | float | bytes
        match tag & 7:
            case 0:
                value, content = _take_varint(content)
            case 1:
                value, content = struct.unpack("<d", content[:8])[0], content[8:]
            case 2:
                length, content = _take_varint(content)
                assert length <= len(content)
                value, content = content[:length], content[length:]
            case wire_type:
                raise AssertionError(f"wire type {wire_type}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def read_delimited(content: bytes) -> Iterator[Fields]:
    """Yield the messages of a stream, each behind its length."""
    while content:
        length, content = _take_varint(content)
        assert length <= len(content)
        yield read_fields(content[:length])
        content = content[length:]


def _take_varint(content: bytes) -> tuple[int, bytes]:
    end = next(place for place, byte in enumerate(content) if byte < 0x80) + 1
    return next(read_varints(content[:end])), content[end:]
