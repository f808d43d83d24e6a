"""Times as people write them: lengths (`15m`), moments (`now`, `15m` ago, `2026-11-22T09:00:00Z`), spans (`-2d..-1d`).

Owns their grammar. The clock is the caller's: everything is relative to the `now` that it brings.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import NANOSECONDS

SEPARATOR: Final = ".."
"""Between the two ends of a span."""
_NOW: Final = "now"
_AGO: Final = re.compile(r"-?([0-9]{1,9}[smhdw])")
_LENGTH: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_UNIX_SECONDS: Final = re.compile(r"([0-9]{9,11})(?:\.([0-9]{1,9}))?")
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN_LENGTH: Final = 64


class Period(NamedTuple):
    """From one moment up to another, in nanoseconds of Unix time."""

    start_ns: int
    end_ns: int


def parse_length(text: str) -> int:
    """Return the seconds of a length of time such as `90s`, `15m`, `24h`, `30d` or `2w`.

    Raises:
        MalformedRequestError: the message quotes the text and shows what a length looks like.
    """
    if length := _LENGTH.fullmatch(text):
        return int(length[1]) * _SECONDS[length[2]]
    raise MalformedRequestError(f"not a length of time: {_shown(text)}; write one like 15m, 24h or 30d")


def parse_moment(text: str, now_ns: int) -> int:
    """Return the moment that `text` says, in nanoseconds of Unix time.

    Args:
        text: `now`; so long ago, as in `90s`, `15m`, `24h`, `30d`, `2w`, with or without a minus; an RFC 3339
            timestamp, whose offset is not optional; or Unix seconds.
        now_ns: what time it is.

    Raises:
        MalformedRequestError: the message quotes the text and shows what a moment looks like.
    """
    if text == _NOW:
        return now_ns
    if ago := _AGO.fullmatch(text):
        return max(0, now_ns - parse_length(ago[1]) * NANOSECONDS)
    if unix := _UNIX_SECONDS.fullmatch(text):
        return int(unix[1]) * NANOSECONDS + int((unix[2] or "").ljust(9, "0"))
    if _TIMESTAMP.fullmatch(text):
        try:
            since_epoch = datetime.fromisoformat(text) - _EPOCH
        except (ValueError, OverflowError):
            raise MalformedRequestError(f"there is no such time: {_shown(text)}") from None
        return max(0, since_epoch // timedelta(microseconds=1) * 1000)
    raise MalformedRequestError(f"not a time: {_shown(text)}; write one like 15m, -1d, now or 2026-11-22T09:00:00Z")


def is_span(text: str) -> bool:
    """Say whether `text` is written as a span: what looks like a moment on both sides of `..`."""
    start, _, end = text.partition(SEPARATOR)
    return _looks_like_moment(start) and _looks_like_moment(end)


def parse_span(text: str, now_ns: int) -> Period:
    """Return the span that `text` says: two moments around `..`.

    Raises:
        MalformedRequestError: one of them is not understood, or it does not end after its start.
    """
    start, found, end = text.partition(SEPARATOR)
    if not found:
        raise MalformedRequestError(f"not a span: {_shown(text)}; write one like -1d..now")
    period = Period(parse_moment(start, now_ns), parse_moment(end, now_ns))
    if period.end_ns <= period.start_ns:
        raise MalformedRequestError(f"the span {_shown(text)} does not end after its start")
    return period


def _looks_like_moment(text: str) -> bool:
    return text == _NOW or any(form.fullmatch(text) for form in (_AGO, _UNIX_SECONDS, _TIMESTAMP))


def _shown(text: str) -> str:
    return ascii(text[:_SHOWN_LENGTH])
