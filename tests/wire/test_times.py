from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.wire.times import format_time, to_seconds
from tests.domain.building import bounded

END_NS = 253_402_300_799 * 10**9


@pytest.mark.parametrize(
    ("unix_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (999, "1970-01-01T00:00:00.000000Z"),
        (1_763_856_000_123_456_789, "2025-11-23T00:00:00.123456Z"),
        (1_709_251_199_999_999_999, "2024-02-29T23:59:59.999999Z"),
        (END_NS, "9999-12-31T23:59:59.000000Z"),
        (10**30, "9999-12-31T23:59:59.000000Z"),
        (-1, "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc(unix_ns: int, text: str) -> None:
    """Times have a date, microseconds and a Z; what no calendar holds is written as its first or last moment."""
    assert text == format_time(unix_ns)


@bounded
@given(st.integers(0, END_NS))
def test_a_time_is_read_back_to_the_microsecond(unix_ns: int) -> None:
    """Any standard reader gets the same moment back."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=unix_ns // 1000)
    assert moment == datetime.fromisoformat(format_time(unix_ns))


@bounded
@given(st.integers(0, 2**53))
def test_seconds_are_the_nearest_float(duration_ns: int) -> None:
    """Whole nanoseconds survive the way to seconds and back, up to a hundred days."""
    assert duration_ns == round(to_seconds(duration_ns) * 10**9)
