"""Names and numbers as people read them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.cli.text import (
    count_of,
    format_age,
    format_count,
    format_duration,
    format_size,
    format_text,
    harmless,
    harmless_json,
    shorten,
    width_of,
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GET /users/{id}", "GET /users/{id}"),
        ("caffè/日本", "caffè/日本"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J\x9b31m\x7f", "\\x1b[2J\\x9b31m\\x7f"),
        ("\u202e123\u2066\u200b", "\\u202e123\\u2066\\u200b"),
        ("\u2028\ud800", "\\u2028\\ud800"),
    ],
)
def test_names_cannot_steer_the_terminal(name: str, expected: str) -> None:
    """Control characters, line breaks, direction marks and surrogates are shown as escapes, all else as it is."""
    assert expected == harmless(name)


@given(st.text(st.characters(codec=None, categories=None)))
def test_harmless_text_is_always_printable_and_encodable(text: str) -> None:
    """Whatever a name is made of, printing it can neither fail nor do anything else."""
    shown = harmless(text)

    assert shown.isprintable()
    assert shown == shown.encode().decode()
    assert harmless(shown) == shown


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from([None, 2]))
def test_harmless_json_is_the_same_value(text: str, indent: int | None) -> None:
    """Escaped for a terminal, JSON holds nothing that it would obey, and every parser reads what it read before."""
    written = json.dumps({text: [text]}, ensure_ascii=False, indent=indent)

    shown = harmless_json(written)

    assert json.loads(shown) == {text: [text]}
    assert shown.replace("\n", "").isprintable()
    assert (shown == written) is written.replace("\n", "").isprintable()


def test_what_is_no_json_steers_no_terminal() -> None:
    """An answer of something else than a sidecar is shown with its escapes and carriage returns visible."""
    assert harmless_json("\x1b[2J\rforged\x9b\u202e\U000e0001") == r"\u001b[2J\rforged\u009b\u202e\udb40\udc01"


@given(st.text(st.characters(exclude_categories=["C"])), st.integers(8, 40))
def test_a_shortened_name_fits(text: str, width: int) -> None:
    """No name is wider than asked, wide characters counted; one that fits is left alone."""
    shown = shorten(text, width)

    assert width_of(shown) <= width
    assert (shown == text) is (width_of(text) <= width)


def test_names_are_shortened_in_the_middle() -> None:
    """Routes begin alike and end alike; both ends stay."""
    assert shorten("GET /api/v1/profiling/data", 13) == "GET /a…g/data"
    assert shorten("日本日本日本日本日本", 9) == "日本…日本"


def test_width_counts_cells() -> None:
    """Wide characters take two cells, combining ones none."""
    assert [width_of(text) for text in ("abc", "日本", "e\u0301")] == [3, 4, 1]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 s"),
        (1e-9, "0.00 µs"),
        (2.5e-7, "0.25 µs"),
        (9.994e-6, "9.99 µs"),
        (9.996e-6, "10.0 µs"),
        (0.000412, "412 µs"),
        (0.0009996, "1.00 ms"),
        (0.0031, "3.10 ms"),
        (0.0999, "99.9 ms"),
        (0.25, "250 ms"),
        (0.9996, "1.00 s"),
        (1.5, "1.50 s"),
        (99.96, "100 s"),
        (864000, "864000 s"),
        (None, "-"),
        (True, "-"),
        ("1", "-"),
    ],
)
def test_durations_have_three_figures_and_a_unit(seconds: object, expected: str) -> None:
    """µs, ms and s, chosen after rounding; what is no number is a dash and never zero."""
    assert expected == format_duration(seconds)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"), (180_000, "2 d"), (None, "-")],
)
def test_ages_have_one_unit(seconds: object, expected: str) -> None:
    """How long ago, rounded down in the largest unit that fits."""
    assert expected == format_age(seconds)


def test_what_is_missing_is_a_dash() -> None:
    """A figure or label that an answer lacks is shown as missing, not as zero."""
    assert [format_count(None), format_count("7"), format_count(7)] == ["-", "-", "7"]
    assert [format_text(None), format_text(""), format_text(7), format_text("a\n")] == ["-", "-", "-", "a\\n"]


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (1000, "1.00 kB"),
        (2_345_678, "2.35 MB"),
        (999_999, "1.00 MB"),
        (3e12, "3000 GB"),
        (None, "-"),
    ],
)
def test_sizes_have_three_figures_of_the_unit_that_fits(size_bytes: object, expected: str) -> None:
    """Units are of 1000 each, judged after rounding; what is no number is a dash."""
    assert expected == format_size(size_bytes)


def test_one_of_a_thing_is_no_plural() -> None:
    """One is counted in the singular, all other numbers in the plural."""
    assert [count_of(number, "save") for number in (0, 1, 2)] == ["0 saves", "1 save", "2 saves"]
    assert [count_of(number, "process", "processes") for number in (1, 2)] == ["1 process", "2 processes"]
