import math
import struct
import sys
import unicodedata
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chronoprof_sidecar.protocol import (
    BUCKET_COUNT,
    MAX_DURATION_SECONDS,
    MAX_LABEL_LENGTH,
    MAX_NAME_LENGTH,
    bucket_bounds,
    bucket_of,
    clean_label,
    clean_name,
    count_buckets,
    is_clean,
)
from tests.domain.building import bounded

durations_seconds = st.floats(0, MAX_DURATION_SECONDS)
UNCLEAN = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in ("Cc", "Cs")]


@bounded
@given(durations_seconds)
def test_a_bucket_is_the_high_bits_of_the_binary32_number(duration: float) -> None:
    """The bucket of d is float32_bits(d) >> 17, as any language computes it with a cast and a shift."""
    (bits,) = struct.unpack(">I", struct.pack(">f", duration))
    assert bits >> 17 == bucket_of(duration)


def test_buckets_are_the_ones_that_other_senders_compute() -> None:
    """The buckets of a few durations are written down: whoever changes one changes the wire."""
    written_down = {0.0: 0, 1e-9: 6212, 1e-6: 6851, 0.001: 7489, 0.1: 7910, 0.25: 8000, 1.0: 8128, 2.0: 8192}
    written_down |= {1.015625: 8129, 60.0: 8504, 864_000.0: 9385}
    assert written_down == {duration: bucket_of(duration) for duration in written_down}


def test_a_doubling_has_64_buckets() -> None:
    """From any power of two to the next there are 64 buckets of equal width."""
    low, high = bucket_bounds(bucket_of(1.0))
    assert (1.0, 1 + 1 / 64) == (low, high)
    assert [64] * 49 == [bucket_of(2.0 ** (n + 1)) - bucket_of(2.0**n) for n in range(-30, 19)]


@bounded
@given(durations_seconds)
def test_a_duration_lies_within_the_bounds_of_its_bucket(duration: float) -> None:
    """Rounded to binary32, a duration is at or above its bucket's lower bound and below the upper."""
    (rounded,) = struct.unpack("f", struct.pack("f", duration))
    low, high = bucket_bounds(bucket_of(duration))
    assert low <= rounded < high


@bounded
@given(durations_seconds, durations_seconds)
def test_buckets_keep_the_order_of_durations(one: float, other: float) -> None:
    """A longer duration never has a lower bucket."""
    assert (bucket_of(one) <= bucket_of(other)) or one > other


@bounded
@given(st.lists(durations_seconds))
@example([-0.0, 0.0, 5.0])
@example([5e-324, 1e-46, 1e-45])
def test_counting_at_once_is_counting_one_by_one(durations: list[float]) -> None:
    """`count_buckets` is a Counter of `bucket_of`."""
    assert Counter(map(bucket_of, durations)) == count_buckets(durations)


def test_negative_zero_is_zero() -> None:
    """JSON has a `-0.0`; it has the bucket of zero, which sorts below every other."""
    assert 0 == bucket_of(-0.0)
    assert {0: 2} == count_buckets([-0.0, 0.0])


def test_every_duration_has_a_bucket_below_the_count() -> None:
    """All finite binary32 numbers have a bucket below `BUCKET_COUNT`."""
    largest: float = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]
    assert BUCKET_COUNT - 2 == bucket_of(largest)
    assert math.inf == bucket_bounds(BUCKET_COUNT - 2)[1]


def test_clean_is_what_holds_no_control_character_and_no_surrogate() -> None:
    """Exactly the characters of Unicode's categories Cc and Cs are unclean."""
    assert UNCLEAN == [chr(code) for code in range(sys.maxunicode + 1) if not is_clean(f"a{chr(code)}b")]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("GET /items/{item_id}", "GET /items/{item_id}"),
        ("größe 🐍  ", "größe 🐍  "),
        ("a\nb\x00c\x7fd\x9fe\ud800", "a�b�c�d�e�"),
        ("x" * 513, "x" * 512),
        ("", "<unnamed>"),
        ("_other", "<_other>"),
        ("_others", "_others"),
    ],
)
def test_names_are_cleaned(text: str, name: str) -> None:
    """Unclean characters become U+FFFD, long names are cut, and no name is one that would be rejected."""
    assert name == clean_name(text)


@bounded
@given(st.text(st.characters() | st.sampled_from(UNCLEAN), max_size=600))
def test_a_cleaned_name_is_a_name(text: str) -> None:
    """What cleaning returns is clean, has 1 to 512 characters, and stays as it is when cleaned again."""
    name = clean_name(text)
    assert is_clean(name)
    assert 1 <= len(name) <= MAX_NAME_LENGTH
    assert name == clean_name(name)


@pytest.mark.parametrize(("text", "label"), [("", ""), ("2026.11\t3", "2026.11�3"), ("v" * 129, "v" * 128)])
def test_labels_are_cleaned(text: str, label: str) -> None:
    """A label may be empty; else it is cleaned like a name and cut to 128 characters."""
    assert label == clean_label(text)
    assert len(label) <= MAX_LABEL_LENGTH
