"""Moments and spans are read as people write them, and what is none is quoted."""

import pytest

from chronoprof_sidecar.domain.spans import Period, parse_length, parse_moment, parse_span
from chronoprof_sidecar.errors import MalformedRequestError

SECOND = 1_000_000_000
NOW = 1_763_856_000 * SECOND + 5
"""2025-11-23T00:00:00.000000005Z."""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", NOW),
        ("90s", NOW - 90 * SECOND),
        ("15m", NOW - 900 * SECOND),
        ("-24h", NOW - 86_400 * SECOND),
        ("-1d", NOW - 86_400 * SECOND),
        ("2w", NOW - 14 * 86_400 * SECOND),
        ("0s", NOW),
        ("999999999w", 0),
        ("2025-11-23T00:00:00Z", NOW - 5),
        ("2025-11-23T01:30:00.25+01:30", NOW - 5 + SECOND // 4),
        ("1969-01-01T00:00:00Z", 0),
        ("1763856000", NOW - 5),
        ("1763856000.5", NOW - 5 + SECOND // 2),
    ],
)
def test_moments_are_read(text: str, moment: int) -> None:
    """Now, so long ago, a timestamp with its offset, or Unix seconds."""
    assert moment == parse_moment(text, NOW)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "15", "15 m", "+1d", "1.5h", "1y", "--1d", "٣m", "1000000000d", "NOW"),
        *("2025-11-23", "2025-11-23T00:00:00", "2025-13-01T00:00:00Z", "2025-11-23T00:00:00+99:00", "2025-W01-1"),
    ],
)
def test_what_is_no_moment_is_quoted(text: str) -> None:
    """What could mean several things, or nothing, is refused by an error that quotes it."""
    with pytest.raises(MalformedRequestError) as raised:
        parse_moment(text, NOW)
    assert ascii(text) in str(raised.value)


def test_lengths_are_read() -> None:
    """A length of time is a whole number and its unit."""
    assert [90, 900, 86_400, 1_209_600] == list(map(parse_length, ("90s", "15m", "1d", "2w")))
    with pytest.raises(MalformedRequestError, match="'-15m'"):
        parse_length("-15m")


def test_spans_are_read() -> None:
    """A span has two moments around two dots, in order."""
    assert Period(NOW - 2 * 86_400 * SECOND, NOW - 86_400 * SECOND) == parse_span("-2d..-1d", NOW)
    assert Period(NOW - 5 - 3600 * SECOND, NOW) == parse_span("2025-11-22T23:00:00Z..now", NOW)


@pytest.mark.parametrize("text", ["-1d", "now..-1d", "-1d..-1d", "-1d..", "..now", "a..b", "-2d..-1d..now"])
def test_what_is_no_span_is_refused(text: str) -> None:
    """A span needs both ends, and the end after the start."""
    with pytest.raises(MalformedRequestError):
        parse_span(text, NOW)
