from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.history import ALL, History, HistoryQuery, Span, cut, round_step
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.protocol import NANOSECONDS
from tests.domain.building import bounded, duration_lists, figures, statistics

ASKED = Span(0, 420)
KEY = RowKey("f", "shop", "1")
pieces = st.lists(
    st.one_of(
        st.integers(0, 400).map(lambda minute: Span(minute, minute + 1)),
        st.tuples(st.integers(0, 6), st.integers(0, 30), st.integers(1, 30)).map(
            lambda hour: Span(60 * hour[0] + hour[1], 60 * hour[0] + hour[1] + hour[2])
        ),
    ),
    max_size=20,
)


def history(kept: Sequence[Span], asked: Span = ASKED, step: int | None = None, *, max_functions: int = 10) -> History:
    return History(HistoryQuery(Selection(), asked, step), kept, 0, max_functions)


@bounded
@given(pieces, st.integers(1, 100))
def test_steps_follow_upon_each_other(kept: list[Span], step: int) -> None:
    """Whatever is kept and however fine the step: the steps leave no gap and hold every piece whole."""
    steps = [each.span for each in history(kept, step=step).steps]
    assert all(earlier.end == later.start for earlier, later in pairwise(steps))
    assert all(each.start < each.end for each in steps)
    for piece in kept:
        assert any(each.start <= piece.start and piece.end <= each.end for each in steps)


@bounded
@given(st.lists(st.tuples(st.integers(0, 419), duration_lists), min_size=1, max_size=20), st.integers(1, 100))
def test_all_steps_together_are_the_whole(counted: list[tuple[int, list[int]]], step: int) -> None:
    """Merging the rows of all steps gives the row of the whole span, to the last bucket."""
    minutes = [Span(minute, minute + 1) for minute, _ in counted]
    in_steps, whole = history(minutes, step=step), history(minutes)
    for answer in (in_steps, whole):
        for span, (_, durations) in zip(minutes, counted, strict=True):
            answer.count(span, KEY, statistics(durations))
            answer.lose(span, "shop", Losses(dropped=1))
    rows = [each.rows["f"] for each in in_steps.steps if each.rows]
    merged = rows[0].copy()
    for row in rows[1:]:
        merged.merge(row)
    assert figures(whole.steps[0].rows["f"]) == figures(merged)
    assert whole.losses() == in_steps.losses() == {"shop": Losses(dropped=len(counted))}


@bounded
@given(st.lists(duration_lists, min_size=1, max_size=5))
def test_percentiles_of_a_step_are_within_their_bound(minutes: list[list[int]]) -> None:
    """The percentiles of a step are those of all its durations, within 0.78 %."""
    spans = [Span(minute, minute + 1) for minute in range(len(minutes))]
    answer = history(spans, step=60)
    for span, durations in zip(spans, minutes, strict=True):
        answer.count(span, KEY, statistics(durations))
    ordered = sorted(duration for durations in minutes for duration in durations)
    for percent, found in zip((50, 95, 99), answer.steps[0].rows["f"].percentiles((50, 95, 99)), strict=True):
        true_ns = ordered[max(1, -(-percent * len(ordered) // 100)) - 1]
        assert abs(found - true_ns / NANOSECONDS) <= 0.0078 * true_ns / NANOSECONDS + 1e-9


def test_an_hour_is_not_divided() -> None:
    """Where only an hour is left, the steps that it touches are one, which says how fine it really is."""
    answer = history([Span(60, 120), Span(130, 131)], Span(50, 140), step=10)
    assert [each.span for each in answer.steps] == [Span(50, 60), Span(60, 120), Span(120, 130), Span(130, 140)]
    assert [each.resolution_minutes for each in answer.steps] == [1, 60, 1, 1]


def test_a_span_is_widened_to_whole_hours() -> None:
    """A span that begins or ends inside an hour that is kept as one covers that hour, and says so."""
    assert history([Span(60, 120), Span(180, 240)], Span(100, 200)).span == Span(60, 240)


def test_nothing_is_known_of_the_time_before() -> None:
    """The answer begins where what is kept begins, and a span in which nothing was counted stays as it is."""
    query = HistoryQuery(Selection(), Span(0, 100))
    assert History(query, [Span(90, 91)], 40, 10).span == Span(40, 100)
    assert History(query, [], None, 10).span == Span(0, 100)


def test_all_functions_can_be_one_row() -> None:
    """Not per function, every step has one row that counts all of them."""
    answer = History(HistoryQuery(Selection(), Span(0, 10), per_function=False), [], 0, 1)
    for name in ("a", "b", "c"):
        answer.count(Span(1, 2), KEY._replace(function_name=name), statistics([5]))
    assert {name: row.calls for name, row in answer.steps[0].rows.items()} == {ALL: 3}
    assert answer.losses() == {}


def test_functions_are_bounded() -> None:
    """Beyond the bound calls count under `_other`, which is said, and known functions stay exact."""
    answer = history([], step=10, max_functions=2)
    for minute in (1, 11):
        for name in ("a", "b", "c", "d"):
            answer.count(Span(minute, minute + 1), KEY._replace(function_name=name), statistics([5, 6]))
    assert [{name: row.calls for name, row in each.rows.items()} for each in answer.steps[:2]] == [
        {"a": 2, "b": 2, "_other": 4}
    ] * 2
    assert answer.losses() == {"shop": Losses(overflowed=8)}


def test_counting_leaves_the_row_as_it_is() -> None:
    """Rows that the store still holds are not changed by an answer."""
    row = statistics([5])
    answer = history([])
    answer.count(Span(1, 2), KEY, row)
    answer.count(Span(2, 3), KEY, row)
    assert row.calls == 1


@pytest.mark.parametrize(
    ("minutes", "step"), [(1, 1), (60, 1), (120, 1), (121, 2), (1440, 15), (10_080, 120), (43_200, 360), (10**6, 8640)]
)
def test_steps_are_round_by_themselves(minutes: int, step: int) -> None:
    """A span is cut into steps that people count in, 120 at most."""
    assert round_step(Span(7, 7 + minutes)) == step
    assert len(cut(Span(7, 7 + minutes), step)) <= 121
