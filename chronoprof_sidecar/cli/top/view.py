"""What the viewer asked for: the order, the filter, and what each key does to them. Knows no terminal."""

from dataclasses import dataclass
from typing import Final

SORT_KEYS: Final = {
    "t": "total_time",
    "c": "calls",
    "a": "avg_time",
    "m": "p50_time",
    "p": "p95_time",
    "9": "p99_time",
    "x": "max_time",
    "e": "errors",
    "n": "function_name",
}
ENTER: Final = ("\n", "\r")
ERASE: Final = ("\x7f", "\x08")
ESCAPE: Final = "\x1b"
QUIT: Final = ("q", "\x03", "\x04")
_MAX_PATTERN: Final = 200


@dataclass
class View:
    """The state behind the keys."""

    sort: str = "total_time"
    pattern: str = ""
    is_reversed: bool = False
    is_typing: bool = False
    """Whether keys go into the filter."""
    quits: bool = False

    @property
    def order(self) -> str:
        """`asc` or `desc`: the largest first, names from A to Z, unless reversed."""
        ascends = (self.sort == SORT_KEYS["n"]) != self.is_reversed
        return "asc" if ascends else "desc"

    @property
    def glob(self) -> str | None:
        """The filter as a glob; a pattern without wildcards may stand anywhere in a name."""
        if not self.pattern:
            return None
        return self.pattern if any(char in self.pattern for char in "*?[") else f"*{self.pattern}*"

    def press(self, key: str) -> bool:
        """Take one key; say whether the sidecar must be asked anew."""
        if self.is_typing:
            return self._type(key)
        if key in QUIT:
            self.quits = True
        elif key == "/":
            self.is_typing = True
        elif key == ESCAPE and self.pattern:
            self.pattern = ""
            return True
        elif key == "r":
            self.is_reversed = not self.is_reversed
            return True
        elif key in SORT_KEYS:
            self.sort = SORT_KEYS[key]
            return True
        return False

    def _type(self, key: str) -> bool:
        if key in ENTER:
            self.is_typing = False
            return True
        if key == ESCAPE:
            self.is_typing, self.pattern = False, ""
            return True
        if key in ERASE:
            self.pattern = self.pattern[:-1]
        elif key.isprintable() and len(self.pattern) < _MAX_PATTERN:
            self.pattern += key
        return False
