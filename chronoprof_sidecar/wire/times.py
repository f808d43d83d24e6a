"""Times as people and programs read them: RFC 3339 in UTC, and seconds as floats."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from chronoprof_sidecar.protocol import NANOSECONDS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_NS: Final = 253_402_300_799 * NANOSECONDS
"""The end of the year 9999, the last that RFC 3339 can write."""


def format_time(unix_ns: int) -> str:
    """Return nanoseconds of Unix time as RFC 3339 with microseconds: `2026-11-22T23:28:28.000001Z`."""
    seconds, rest_ns = divmod(min(max(unix_ns, 0), _MAX_NS), NANOSECONDS)
    return f"{_format_second(seconds)}.{rest_ns // 1000:06}Z"


@lru_cache(maxsize=4096)
def _format_second(unix_seconds: int) -> str:
    """Return date and time of a second; rows that are written together share most of theirs."""
    return (_EPOCH + timedelta(seconds=unix_seconds)).replace(tzinfo=None).isoformat()


def to_seconds(duration_ns: int) -> float:
    """Return whole nanoseconds as seconds."""
    return duration_ns / NANOSECONDS
