"""How names and numbers look on a terminal.

Owns what people read: harmless names, their width, durations and counts. Must not know what is printed where.
"""

import json
import unicodedata
from collections.abc import Sequence
from typing import Final, TypeGuard

ELLIPSIS: Final = "…"
NOTHING: Final = "-"
"""Stands for a figure that is not there."""
NAMED: Final = 3
"""Names that are given where something is said of many."""


def harmless(text: str) -> str:
    """Return `text` with everything that is not printable escaped.

    Names come from whoever may ingest: no line break may forge a row, no ANSI sequence may steer the terminal, and no
    bidirectional mark may turn the figures around.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def harmless_json(text: str) -> str:
    """Return JSON with everything that is not printable escaped the way of JSON: every parser reads the same value.

    JSON has to escape C0 alone, so names bring along marks and separators that a terminal, or an editor, obeys.
    """
    if text.isprintable():
        return text
    odd = {char for char in set(text) if not char.isprintable() and char not in "\n\t"}
    return text.translate({ord(char): json.dumps(char)[1:-1] for char in odd})


def width_of(text: str) -> int:
    """Return how many cells of a terminal `text` takes: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def shorten(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, cut out of the middle: routes begin alike and end alike."""
    if width_of(text) <= width:
        return text
    room = width - width_of(ELLIPSIS)
    return _take(text, room - room // 2) + ELLIPSIS + _take(text[::-1], room // 2)[::-1]


def format_text(value: object) -> str:
    """Return a text of the server, harmless; `-` when it is empty or none."""
    return harmless(value) if isinstance(value, str) and value else NOTHING


def name_some(names: Sequence[str]) -> str:
    """Return the first few of many names, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def format_count(value: object) -> str:
    """Return a count."""
    return str(value) if is_number(value) else NOTHING


def count_of(number: int, noun: str, plural: str = "") -> str:
    """Return a number of things: `1 save`, `2 saves`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def format_duration(seconds: object) -> str:
    """Return a duration with three figures in µs, ms or s: `412 µs`, `3.10 ms`, `1234 s`."""
    if not is_number(seconds):
        return NOTHING
    if not seconds:
        return "0 s"
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        figures = _three_figures(seconds * factor)
        # Judged after rounding: 999.7 µs is 1.00 ms.
        if float(figures) < 1000:
            return f"{figures} {unit}"
    return f"{_three_figures(seconds)} s"


def format_size(size_bytes: object) -> str:
    """Return a size with three figures in B, kB, MB or GB of 1000 each: `812 B`, `2.35 MB`."""
    if not is_number(size_bytes):
        return NOTHING
    for factor, unit in ((1, "B"), (1e3, "kB"), (1e6, "MB")):
        figures = _three_figures(size_bytes / factor) if factor > 1 else str(size_bytes)
        if float(figures) < 1000:
            return f"{figures} {unit}"
    return f"{_three_figures(size_bytes / 1e9)} GB"


def format_age(seconds: object) -> str:
    """Return how long ago something was, in the largest unit that fits: `12 s`, `5 min`, `3 h`, `2 d`."""
    if not is_number(seconds):
        return NOTHING
    for length_seconds, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length_seconds:
            return f"{seconds // length_seconds:.0f} {unit}"
    return f"{seconds // 1:.0f} s"


def is_number(value: object) -> TypeGuard[int | float]:
    """Say whether a value out of an answer is a number, so that an odd answer gives `-` and no traceback."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _three_figures(value: float) -> str:
    for decimals, limit in ((2, 9.995), (1, 99.95)):
        if value < limit:
            return f"{value:.{decimals}f}"
    return f"{value:.0f}"


def _cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def _take(text: str, width: int) -> str:
    """Return as much of the beginning of `text` as fits."""
    taken = 0
    for index, char in enumerate(text):
        taken += _cells(char)
        if taken > width:
            return text[:index]
    return text
