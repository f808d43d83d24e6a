import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.batch import Batch, Labels, NamedAggregate, RowKey
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import (
    MAX_LABEL_PAIRS,
    OTHER_LABELS,
    Admission,
    Placement,
    Selection,
    Table,
    merge_by_name,
)
from chronoprof_sidecar.protocol import OTHER
from tests.domain.building import aggregate, batch, bounded, durations_ns, figures, named, statistics

SHOP = Labels("shop", "1")

few_durations = st.lists(durations_ns, min_size=1, max_size=4)
few_names = st.sampled_from(["a", "b", "c", "d", "e", "f"])
batches = st.builds(
    lambda items, version: batch(*items, version=version),
    st.lists(st.builds(NamedAggregate, few_names, few_durations.map(aggregate)), max_size=6),
    st.sampled_from(["1", "2"]),
)


def fill(table: Table, *arrivals: Batch, max_functions: int = 100) -> list[Placement]:
    """Place all batches, then count them, as one commit of a store does."""
    admission = Admission(table, max_functions)
    placements = [admission.place(each) for each in arrivals]
    for placement, each in zip(placements, arrivals, strict=True):
        table.count(placement, each.items, arrived_ns=0)
    return placements


def keys(rows: Iterable[tuple[RowKey, FunctionStatistics]]) -> list[tuple[str, str, str]]:
    """Return the keys of rows as plain tuples, sorted."""
    return sorted((*key,) for key, _ in rows)


def content(rows: Iterable[tuple[RowKey, FunctionStatistics]]) -> dict[RowKey, object]:
    """Return everything that rows know, by key."""
    return {key: figures(row) for key, row in rows}


def shops() -> Table:
    """Return a table of two services, one of them in two versions."""
    table = Table()
    fill(table, batch(*named("GET /a", "GET /b", "job"), version="1"), batch(*named("GET /a"), version="2"))
    fill(table, batch(*named("GET /a", "get /a"), service="till"))
    return table


def test_the_bound_is_exact() -> None:
    """The table takes as many rows as it may, not one fewer; what comes later is counted in `_other`."""
    table = Table()
    (placement,) = fill(table, batch(*named("a", "b", "c", "d", "e")), max_functions=3)
    assert frozenset({"d", "e"}) == placement.overflowed
    assert ["_other", "a", "b", "c"] == [name for name, _, _ in keys(table.select(Selection()))]
    other = table.get(RowKey(OTHER, *SHOP))
    assert other is not None
    assert (2, 2_000_000) == (other.calls, other.total_ns)


def test_the_bound_holds_over_batches_placed_before_any_is_counted() -> None:
    """Each batch of a commit is placed as if those before it were counted already."""
    table = Table()
    arrivals = [batch(*named("a", "b")), batch(*named("b", "c")), batch(*named("d", "a", "e")), batch(*named("e"))]
    placements = fill(table, *arrivals, max_functions=4)
    assert [set(), set(), {"e"}, {"e"}] == [set(each.overflowed) for each in placements]
    assert ["_other", "a", "b", "c", "d"] == [name for name, _, _ in keys(table.select(Selection()))]


@bounded
@given(st.lists(st.lists(batches, max_size=4), max_size=4), st.integers(0, 8))
def test_the_bound_holds_and_no_call_is_lost(commits: list[list[Batch]], max_functions: int) -> None:
    """Whatever arrives, no more rows than the bound, besides `_other`, and the true totals in them."""
    table = Table()
    for commit in commits:
        fill(table, *commit, max_functions=max_functions)
    rows = list(table.select(Selection()))
    assert len(rows) == table.size
    assert max_functions >= sum(key.function_name != OTHER for key, _ in rows)
    items = [item.aggregate for commit in commits for each in commit for item in each.items]
    assert sum(item.calls for item in items) == sum(row.calls for _, row in rows)
    assert sum(item.total_ns for item in items) == sum(row.total_ns for _, row in rows)


@bounded
@given(st.lists(batches, max_size=6), st.integers(0, 8))
def test_placing_at_once_is_placing_one_by_one(arrivals: list[Batch], max_functions: int) -> None:
    """How many batches share a commit decides nothing about where they are counted."""
    together, apart = Table(), Table()
    placements = fill(together, *arrivals, max_functions=max_functions)
    assert placements == [fill(apart, each, max_functions=max_functions)[0] for each in arrivals]
    assert content(apart.select(Selection())) == content(together.select(Selection()))


def test_known_names_are_counted_in_a_full_table() -> None:
    """A full table still counts every function that has a row, in that row."""
    table = Table()
    fill(table, batch(*named("a")), max_functions=1)
    (placement,) = fill(table, batch(*named("a", "b", "a")), max_functions=1)
    assert ("a", OTHER) == (placement.row_name("a"), placement.row_name("b"))
    row = table.get(RowKey("a", *SHOP))
    assert row is not None
    assert 3 == row.calls


def test_a_table_that_was_allowed_more_takes_no_more() -> None:
    """A bound that was lowered below what is there lets nothing new in and drops nothing."""
    table = Table()
    fill(table, batch(*named("a", "b", "c")), max_functions=10)
    fill(table, batch(*named("c", "d")), max_functions=1)
    assert ["_other", "a", "b", "c"] == [name for name, _, _ in keys(table.select(Selection()))]


def test_every_pair_of_labels_has_its_own_overflow_row() -> None:
    """What overflows stays with the service and version that it came from."""
    table = Table()
    fill(table, batch(*named("a", "b")), batch(*named("c"), service="till"), max_functions=1)
    expected = [(OTHER, "shop", "1"), (OTHER, "till", "1"), ("a", "shop", "1")]
    assert expected == keys(table.select(Selection()))


def test_an_admission_thrown_away_leaves_nothing() -> None:
    """Placing alone changes nothing: the room that a failed commit took is free again."""
    table = Table()
    Admission(table, 1).place(batch(*named("a")))
    assert 0 == table.size
    assert frozenset() == Admission(table, 1).place(batch(*named("b"))).overflowed


def test_services_of_losses_alone_are_bounded() -> None:
    """Batches that bring nothing but loss figures can fill no memory with names of services; known ones stay known."""
    admission = Admission(Table(), 100, lossy_services={"shop"})
    placements = [admission.place(batch(service=str(n), lost=(1, 0, 0))) for n in range(MAX_LABEL_PAIRS + 1)]
    assert [Labels(str(n), "1") for n in range(MAX_LABEL_PAIRS - 1)] == [each.labels for each in placements[:-2]]
    assert [OTHER_LABELS, OTHER_LABELS] == [each.labels for each in placements[-2:]]
    again = [admission.place(batch(service=service, lost=(1, 0, 0))).labels.service for service in ("shop", "0", "new")]
    assert ["shop", "0", OTHER] == again


def test_a_snapshot_of_nothing_costs_nothing() -> None:
    """Who asks for no row, as for what a window says of itself, has no row copied when it counts again."""
    table = Table()
    fill(table, batch(*named("a")))
    row = table.get(RowKey("a", *SHOP))
    assert [] == table.snapshot(Selection(function_name=""))
    fill(table, batch(*named("a")))
    assert row is table.get(RowKey("a", *SHOP))


def test_label_pairs_are_bounded() -> None:
    """64 pairs of labels have rows of their own, the next become `_other`, `_other`; names stay."""
    table = Table()
    arrivals = [batch(*named("a"), version=str(n)) for n in range(MAX_LABEL_PAIRS + 2)]
    placements = fill(table, *arrivals, max_functions=1000)
    assert [Labels("shop", str(n)) for n in range(MAX_LABEL_PAIRS)] == [each.labels for each in placements[:-2]]
    assert [OTHER_LABELS, OTHER_LABELS] == [each.labels for each in placements[-2:]]
    row = table.get(RowKey("a", OTHER, OTHER))
    assert row is not None
    assert 2 == row.calls


def test_label_pairs_already_there_keep_their_rows() -> None:
    """With all pairs taken, known labels are counted under their own, new ones under `_other`."""
    table = Table()
    for n in range(MAX_LABEL_PAIRS + 1):
        fill(table, batch(*named("a"), version=str(n)), max_functions=1000)
    known, unknown = fill(table, batch(*named("b"), version="0"), batch(*named("b"), version="x"), max_functions=1000)
    assert (Labels("shop", "0"), OTHER_LABELS) == (known.labels, unknown.labels)
    assert MAX_LABEL_PAIRS + 1 == len(table.label_pairs())


def test_a_batch_without_items_takes_up_no_labels() -> None:
    """Loss figures alone make no row, no service, and use up no pair of labels."""
    table = Table()
    fill(table, *(batch(version=f"empty {n}") for n in range(MAX_LABEL_PAIRS)), batch(*named("a")))
    assert [SHOP] == table.label_pairs()
    fill(table, *(batch(version=f"empty {n}") for n in range(MAX_LABEL_PAIRS)))
    assert [SHOP] == table.label_pairs()


@bounded
@given(st.lists(batches, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_no_figure(arrivals: list[Batch], chance: random.Random) -> None:
    """Batches counted in any order make the same table."""
    table, shuffled = Table(), Table()
    fill(table, *arrivals)
    fill(shuffled, *chance.sample(arrivals, len(arrivals)))
    assert content(table.select(Selection())) == content(shuffled.select(Selection()))


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(function_name="GET /a"), [("GET /a", *SHOP), ("GET /a", "shop", "2"), ("GET /a", "till", "1")]),
        (Selection(function_name="GET /"), []),
        (Selection(function_name="GET /*"), []),
        (Selection(match="GET /*", version="1", service="shop"), [("GET /a", *SHOP), ("GET /b", *SHOP)]),
        (Selection(match="[gG]?? /a", service="till"), [("GET /a", "till", "1"), ("get /a", "till", "1")]),
        (Selection(match="GET"), []),
        (Selection(match="GET /[!a]"), [("GET /b", *SHOP)]),
        (Selection(match="*job"), [("job", *SHOP)]),
        (Selection(function_name="job", match="GET*"), []),
        (Selection(function_name="job", match="j*"), [("job", *SHOP)]),
        (Selection(service="shop", version="2"), [("GET /a", "shop", "2")]),
        (Selection(version="2"), [("GET /a", "shop", "2")]),
        (Selection(service=""), []),
        (Selection(service="nobody"), []),
    ],
)
def test_a_selection_yields_the_rows_asked_for(selection: Selection, expected: list[tuple[str, str, str]]) -> None:
    """Names are exact or a case-sensitive glob over the whole name; labels are exact; all given must hold."""
    assert expected == keys(shops().select(selection))


def test_no_selection_yields_every_row() -> None:
    """What is None does not filter."""
    assert 6 == len(keys(shops().select(Selection())))


@bounded
@given(st.lists(batches, min_size=1, max_size=8), st.integers(0, 3))
def test_snapshots_stay_as_they_were(arrivals: list[Batch], max_functions: int) -> None:
    """Whatever is counted later, a snapshot shows what was there when it was taken, and taking it loses nothing."""
    table, undisturbed = Table(), Table()
    taken = []
    for each in arrivals:
        fill(table, each, max_functions=max_functions)
        fill(undisturbed, each, max_functions=max_functions)
        snapshot = table.snapshot(Selection())
        taken.append((snapshot, content(snapshot)))
        assert content(undisturbed.select(Selection())) == content(snapshot)
    assert [before for _, before in taken] == [content(snapshot) for snapshot, _ in taken]


def test_a_row_put_into_a_table_leaves_snapshots_as_they_were() -> None:
    """Rows that are put in, new or merged, are the table's own from then on, and no snapshot changes with them."""
    table = Table()
    key = RowKey("a", *SHOP)
    table.snapshot(Selection())
    table.put(key, statistics([5]))
    first = table.snapshot(Selection())
    table.put(key, statistics([7]))
    second = table.snapshot(Selection())
    fill(table, batch(*named("a")))
    assert [1, 2, 3] == [row.calls for _, row in (*first, *second, *table.select(Selection()))]


def test_rows_put_are_merged_into_those_there() -> None:
    """`put` makes a row or adds to it, and `size` counts each row once."""
    table = Table()
    key = RowKey("a", *SHOP)
    table.put(key, statistics([5]))
    table.put(key, statistics([7]))
    row = table.get(key)
    assert row is not None
    assert figures(statistics([5, 7])) == figures(row)
    assert 1 == table.size
    assert table.get(RowKey("b", *SHOP)) is None


def test_rows_merge_over_their_labels() -> None:
    """Without a label filter there is one row per name: the sum over services and versions."""
    rows = shops().snapshot(Selection())
    before = content(rows)
    merged = merge_by_name(rows)
    assert {"GET /a": 3, "GET /b": 1, "job": 1, "get /a": 1} == {name: row.calls for name, row in merged.items()}
    assert figures(statistics([1_000_000] * 3)) == figures(merged["GET /a"])
    assert before == content(rows)
