"""Times as people and programs read them: RFC 3339 in UTC, and seconds as floats."""

from datetime import UTC, datetime, timedelta
from typing import Final

from chronoprof_sidecar.protocol import NANOSECONDS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NS: Final = 253_402_300_799 * NANOSECONDS
"""The end of the year 9999, the last that RFC 3339 can write."""


def format_time(unix_ns: int) -> str:
    """Return nanoseconds of Unix time as RFC 3339 with microseconds: `2026-11-22T23:28:28.000001Z`."""
    microseconds = min(max(unix_ns, 0), _MAX_NS) // 1000
    return f"{(_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def to_seconds(duration_ns: int) -> float:
    """Return whole nanoseconds as seconds."""
    return duration_ns / NANOSECONDS
