"""Windows are found by name, narrowed as a store would, and merged as if one sidecar had counted them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.history import Span, covering
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.spans import Period, parse_span
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.domain.windows import (
    LiveWindow,
    SavedWindow,
    WindowName,
    cut_to_rows,
    merge_windows,
    narrow,
    parse_window,
)
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import OTHER
from tests.domain.building import bounded, duration_lists, figures, statistics
from tests.wire.counting import ARRIVED_NS
from tests.wire.windows import window_of

NOW = ARRIVED_NS
ROWS = {RowKey("a", "shop", "1"): [1000], RowKey("a", "shop", "2"): [2000], RowKey("b", "till", "1"): [3000]}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("monday.json", SavedWindow("monday.json")),
        ("a..b.json", SavedWindow("a..b.json")),
        ("live", LiveWindow()),
        ("version:1.4", LiveWindow("1.4")),
        ("version:", LiveWindow("")),
        ("-1d..now", parse_span("-1d..now", NOW)),
    ],
)
def test_windows_have_names(text: str, name: WindowName) -> None:
    """A save, the current window, a version in it, a span of time."""
    assert name == parse_window(text, NOW)


@pytest.mark.parametrize(
    "text", ["", "Live", "1.4", "export.csv", "../../etc/passwd", "now..", "Version:1", "\u202elive"]
)
def test_what_names_no_window_is_quoted(text: str) -> None:
    """The error quotes the name and says which there are."""
    with pytest.raises(MalformedRequestError, match="live, version") as raised:
        parse_window(text, NOW)
    assert ascii(text) in str(raised.value)


def test_a_window_is_narrowed_as_a_store_would() -> None:
    """Rows by labels and glob; losses of the service asked for, and of `_other`, which may hold calls of any."""
    window = window_of(ROWS, {"shop": Losses(dropped=1), "till": Losses(dropped=2), OTHER: Losses(overflowed=3)})
    part = narrow(window, Selection(service="shop", match="a*"))
    assert {RowKey("a", "shop", "1"), RowKey("a", "shop", "2")} == {key for key, _ in part.rows}
    assert {"shop", OTHER} == part.losses.keys()
    assert window.services == part.services
    whole = narrow(window, Selection())
    assert (dict(window.rows), window.losses) == (dict(whole.rows), whole.losses)


def test_a_window_is_cut_to_its_rows() -> None:
    """A version's window goes from its first arrival to its last; an empty one stays as long as it was."""
    window = window_of({"a": [1000]})
    window.rows[0][1].last_seen_ns += 7
    cut = cut_to_rows(window)
    assert (ARRIVED_NS, ARRIVED_NS + 7) == (cut.window_start_ns, cut.taken_ns)
    assert window_of({}) == cut_to_rows(window_of({}))


def test_a_period_touches_whole_minutes() -> None:
    """The minutes of a period are those that hold a part of it, and no more."""
    minute = 60 * 10**9
    assert Span(1, 2) == covering(*Period(minute, 2 * minute))
    assert Span(0, 3) == covering(*Period(minute - 1, 2 * minute + 1))


@bounded
@given(st.lists(duration_lists, min_size=1, max_size=4))
def test_merging_is_counting_together(hosts: list[list[int]]) -> None:
    """Whatever was counted where, the merged row is that of all durations; the windows given stay as they are."""
    windows = [window_of({"f": durations}, {"shop": Losses(unknown=1)}) for durations in hosts]
    merged = merge_windows(windows)
    together = statistics([each for durations in hosts for each in durations], arrived_ns=ARRIVED_NS)
    ((_, row),) = merged.rows
    assert figures(together) == figures(row)
    assert {"shop": Losses(unknown=len(hosts))} == merged.losses
    for durations, window in zip(hosts, windows, strict=True):
        assert figures(statistics(durations, arrived_ns=ARRIVED_NS)) == figures(window.rows[0][1])
        assert Losses(unknown=1) == window.losses["shop"]
