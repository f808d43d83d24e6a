"""Windows by name, and parts of them: what can be compared, and what of it is asked for.

Owns the grammar of names: a save's, `live`, `version:1.4`, a span of time. Does not know how to get at any of them.
"""

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Final, NamedTuple

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.history import MINUTE_NS, History
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.spans import Period, is_span, parse_span
from chronoprof_sidecar.domain.table import Selection, Table, merge_by_name
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import MAX_NAME_LENGTH

LIVE: Final = "live"
VERSION_PREFIX: Final = "version:"
SAVE_ENDING: Final = ".json"
EXPORT_ENDING: Final = ".csv"
FORMS: Final = "the name of a .json save, live, version:1.4, and spans such as -1d..now"
_SHOWN_LENGTH: Final = 64


class SavedWindow(NamedTuple):
    """What a save in the save directory holds."""

    name: str


class LiveWindow(NamedTuple):
    """The current window, or what a version of the service sent in it."""

    version: str | None = None


WindowName = SavedWindow | LiveWindow | Period


def parse_window(text: str, now_ns: int) -> WindowName:
    """Return which window `text` names; `now_ns` is what a span is relative to.

    Raises:
        MalformedRequestError: the message quotes the text and says which names there are.
    """
    if len(text) > MAX_NAME_LENGTH:
        raise MalformedRequestError(f"no window has a name of more than {MAX_NAME_LENGTH} characters")
    if text.endswith(SAVE_ENDING):
        return SavedWindow(text)
    if text == LIVE:
        return LiveWindow()
    if text.startswith(VERSION_PREFIX):
        return LiveWindow(text.removeprefix(VERSION_PREFIX))
    if is_span(text):
        return parse_span(text, now_ns)
    raise MalformedRequestError(f"no window is called {text[:_SHOWN_LENGTH]!a}; there are {FORMS}")


def is_computed(text: str) -> bool:
    """Say whether `text` names what no save holds: the current window, a version in it, or a span of the history."""
    if text.endswith(SAVE_ENDING):
        return False
    return text == LIVE or text.startswith(VERSION_PREFIX) or is_span(text)


def narrow(window: Snapshot, selection: Selection) -> Snapshot:
    """Return the part of a window that a selection asks for, as a store would have answered it."""
    table = Table()
    for key, row in window.rows:
        table.put(key, row)
    return replace(
        window,
        rows=list(table.select(selection)),
        losses={service: losses for service, losses in window.losses.items() if selection.covers_losses(service)},
    )


def cut_to_rows(window: Snapshot) -> Snapshot:
    """Return a window from the first to the last arrival in it: a version runs for a part of the window alone."""
    if not window.rows:
        return window
    return replace(
        window,
        window_start_ns=min(row.first_seen_ns for _, row in window.rows),
        taken_ns=max(row.last_seen_ns for _, row in window.rows),
    )


def window_of(history: History, service: str | None, now_ns: int) -> Snapshot:
    """Return what a history counts as one window, which ends now at the latest.

    The history has merged its rows over their labels; they carry the service that was asked for, if any. Like a merge
    it is of no one window of a sidecar, so its generation is 0.
    """
    merged = merge_by_name(
        (RowKey(name, service or "", ""), row) for step in history.steps for name, row in step.rows.items()
    )
    return Snapshot(
        generation=0,
        window_start_ns=history.span.start * MINUTE_NS,
        taken_ns=min(history.span.end * MINUTE_NS, now_ns),
        services=sorted(history.services),
        rows=[(RowKey(name, service or "", ""), row) for name, row in merged.items()],
        losses=history.losses(),
    )


def merge_windows(windows: Sequence[Snapshot]) -> Snapshot:
    """Return one window of all that `windows` counted, from the earliest start to the latest end.

    They stay as they are. It is of no one sidecar, so its generation is 0, which no window of a sidecar has.
    """
    table = Table()
    losses: dict[str, Losses] = {}
    for window in windows:
        for key, row in window.rows:
            table.put(key, row)
        for service, each in window.losses.items():
            losses.setdefault(service, Losses()).merge(each)
    return Snapshot(
        generation=0,
        window_start_ns=min(window.window_start_ns for window in windows),
        taken_ns=max(window.taken_ns for window in windows),
        services=sorted({labels.service for labels in table.label_pairs()} | losses.keys()),
        rows=sorted(table.select(Selection()), key=itemgetter(0)),
        losses=losses,
    )
