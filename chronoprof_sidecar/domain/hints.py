"""Hints at names that look like one template: `/users/17` and `/users/18` are `/users/{…}` to a person."""

import re
from collections import Counter
from collections.abc import Iterable

_PLACEHOLDER = "{…}"
_SEPARATORS = re.compile(r"([/\s.:?&=,]+)")
# A part that varies: it holds a digit, or is a long run of hexadecimal digits and dashes (an id).
_VARYING = re.compile(r"\d|^[0-9a-fA-F-]{16,}$")


def template_of(name: str) -> str:
    """Return `name` with the parts that look like values replaced by `{…}`; versions such as `v1` stay."""
    parts = _SEPARATORS.split(name)
    return "".join(_PLACEHOLDER if _VARYING.search(part) and not _is_version(part) else part for part in parts)


def suggest_templates(names: Iterable[str], most: int = 3) -> list[tuple[str, int]]:
    """Return the templates that at least two of `names` share and how many share each, most first, at most `most`."""
    counted = Counter(template_of(name) for name in names)
    shared = [(template, count) for template, count in counted.most_common() if count > 1 and _PLACEHOLDER in template]
    return shared[:most]


def _is_version(part: str) -> bool:
    return re.fullmatch(r"v\d{1,3}", part) is not None
