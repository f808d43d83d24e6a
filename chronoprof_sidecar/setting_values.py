"""How the text of a setting becomes its value.

Owns one parser per kind of value; each raises `ValueError` with a message that completes "expected …". Must not know
which settings exist, where a text came from, or what any value is for: `settings.py` does.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

Durability = Literal["full", "normal"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

EMBEDDED: Final = "embedded"
"""The store of one machine, in the data directory."""

_POSTGRESQL = re.compile(r"postgres(ql)?://[^\s]+")
_MULTIPLES: Final = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"([0-9]{1,18}) ?(|KiB|MiB|GiB|TiB)")
_WHOLE = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def parse_line(text: str) -> str:
    """Return `text`, which must be printable and not empty."""
    if not text or not text.isprintable():
        raise ValueError("printable text")
    return text


def parse_path(text: str) -> Path:
    """Return `text` as a path; a leading `~` is the home directory."""
    if not text or "\0" in text:
        raise ValueError("a path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a path (the home directory is not known)") from None


def parse_optional_path(text: str) -> Path | None:
    """Return `text` as a path, None when it is empty."""
    return parse_path(text) if text else None


def parse_list(text: str) -> tuple[str, ...]:
    """Return the comma separated items of `text`, without the space around them; no items for an empty text."""
    items = tuple(item.strip() for item in text.split(",")) if text else ()
    if not all(items):
        raise ValueError("items separated by single commas")
    return items


def whole_number(minimum: int, maximum: int = 2**53) -> Callable[[str], int]:
    """Make a parser of whole numbers from `minimum` to `maximum`, both included."""

    def parse_whole_number(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not minimum <= int(text) <= maximum:
            upto = f" to {maximum}" if maximum < 2**53 else ""
            raise ValueError(f"a whole number from {minimum}{upto}")
        return int(text)

    return parse_whole_number


def size(minimum_bytes: int) -> Callable[[str], int]:
    """Make a parser of sizes in bytes of at least `minimum_bytes`; a binary unit may follow: `64 MiB`."""

    def parse_size(text: str) -> int:
        match = _SIZE.fullmatch(text)
        size_bytes = int(match[1]) * _MULTIPLES[match[2]] if match else -1
        if size_bytes < minimum_bytes:
            raise ValueError(f"a size of at least {minimum_bytes} bytes, such as 1048576, 512 KiB, 64 MiB or 10 GiB")
        return size_bytes

    return parse_size


def seconds(maximum_seconds: float) -> Callable[[str], float]:
    """Make a parser of durations in seconds, above zero and at most `maximum_seconds`."""

    def parse_seconds(text: str) -> float:
        duration_seconds = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not 0 < duration_seconds <= maximum_seconds:
            raise ValueError(f"a number of seconds above 0, at most {maximum_seconds:g}")
        return duration_seconds

    return parse_seconds


def parse_store(text: str) -> str:
    """Return `text` as the place of the store: `embedded`, or a PostgreSQL database's URL."""
    if text != EMBEDDED and not (_POSTGRESQL.match(text) and text.isprintable()):
        raise ValueError(f"{EMBEDDED}, or the URL of a database: postgresql://user:password@host1,host2/database")
    return text


def parse_durability(text: str) -> Durability:
    """Return `text` as a durability."""
    match text:
        case "full" | "normal":
            return text
    raise ValueError("full or normal")


def parse_log_level(text: str) -> LogLevel:
    """Return `text` as a log level; any case."""
    match text.lower():
        case ("debug" | "info" | "warning" | "error") as level:
            return level
    raise ValueError("debug, info, warning or error")


def parse_log_format(text: str) -> LogFormat:
    """Return `text` as a log format."""
    match text:
        case "text" | "json":
            return text
    raise ValueError("text or json")
