"""A comparison as Markdown, for a comment on a pull request.

Owns what makes a name harmless there: names come from whoever may ingest, and a comment speaks in the pipeline's name.
"""

import re
from collections.abc import Sequence
from typing import Final

from chronoprof_sidecar.cli.compare.gate import Gate
from chronoprof_sidecar.cli.compare.tables import LEGEND, RATIOS, describe, format_ratio
from chronoprof_sidecar.cli.text import format_count, format_duration, harmless
from chronoprof_sidecar.domain.compare import Change, Figures
from chronoprof_sidecar.wire.comparisons import NamedWindow

TITLES: Final = ("function", "calls", "p50", "p95", "p99", "avg")
# By CommonMark, section 2.5, a character reference is text and never structure. Around it stands <code>, in which
# GitHub makes no text a mention.
_STRUCTURE: Final = re.compile(r"[^\w\s/]|_")


def render_markdown(base: NamedWindow, head: NamedWindow, changes: Sequence[Change], functions: int, gate: Gate) -> str:
    """Return a comment: what the gate says, a table of the changes, and which two windows they are of."""
    said = [f"- <code>{escape(line)}</code>" for line in gate.lines()]
    rows = [TITLES, ["---", *["---:"] * (len(TITLES) - 1)], *map(_format_row, changes)]
    table = [f"| {' | '.join(cells)} |" for cells in rows]
    notes = [f"{escape(line)}  " for line in describe(base, head, len(changes), functions)]
    return "\n".join([*said, *([""] if said else []), *table, "", f"{LEGEND}  ", *notes])


def escape(text: str) -> str:
    """Return `text` so that Markdown and HTML show it as it is, whatever it holds."""
    return _STRUCTURE.sub(lambda found: f"&#{ord(found[0])};", harmless(text))


def _format_row(change: Change) -> list[str]:
    durations = [
        f"{_pair([_duration(side, name) for side in (change.base, change.head)])} {format_ratio(change, name)}"
        for name in RATIOS
    ]
    calls = _pair([format_count(side.calls if side else None) for side in (change.base, change.head)])
    return [f"<code>{escape(change.function_name)}</code>", calls, *durations]


def _duration(side: Figures | None, name: str) -> str:
    return format_duration(side.durations[name] if side else None)


def _pair(figures: Sequence[str]) -> str:
    return " → ".join(figures)
