"""Times as people and programs read them: RFC 3339 in UTC, and seconds as floats."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from chronoprof_sidecar.protocol import NANOSECONDS

_SECONDS_OF: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_UNIX_SECONDS = re.compile(r"[0-9]{9,11}(\.[0-9]{1,9})?")
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


def parse_duration(text: str) -> int:
    """Return the seconds of a length of time such as `90s`, `15m`, `24h`, `30d` or `2w`.

    Raises:
        ValueError: it is none; the message completes "must be …".
    """
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS_OF[match[2]] if match else 0
    if not seconds:
        raise ValueError("a length of time such as 15m, 24h or 30d")
    return seconds


def parse_moment(text: str, now_ns: int) -> int:
    """Return a moment in nanoseconds of Unix time: so long ago, `now`, an RFC 3339 timestamp, or Unix seconds.

    Raises:
        ValueError: it is none of them; the message completes "must be …".
    """
    if text == "now":
        return now_ns
    if _DURATION.fullmatch(text):
        return max(0, now_ns - parse_duration(text) * NANOSECONDS)
    if _UNIX_SECONDS.fullmatch(text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * NANOSECONDS + int(fraction.ljust(9, "0"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or moment < _EPOCH:
        raise ValueError("so long ago (15m, 24h, 30d), a timestamp (2026-11-03T09:00:00Z), Unix seconds, or now")
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
