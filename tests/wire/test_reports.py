import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from chronoprof_sidecar.domain.batch import ItemError, Outcome, RowKey, SequenceId
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.ordering import SORT_COLUMNS, sort_rows
from chronoprof_sidecar.domain.senders import advance
from chronoprof_sidecar.domain.snapshot import Rotation, SaveInfo, Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics, statistics_of
from chronoprof_sidecar.domain.table import Table, merge_by_name
from chronoprof_sidecar.wire.reports import (
    render_data,
    render_error,
    render_outcome,
    render_rotation,
    render_save,
    render_saves,
    render_senders,
)
from chronoprof_sidecar.wire.rows import report_losses, to_number
from tests.domain.building import aggregate, batch, figures, named, statistics
from tests.wire.counting import ARRIVED_NS, snapshot_of

MS = 1_000_000
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SAVE = SaveInfo("a.json", 1234, ARRIVED_NS)
SAVE_REPORT = {"name": "a.json", "size_bytes": 1234, "modified": "2025-11-23T00:00:00.123456Z"}


def row(*durations_ms: int, errors: int = 0, seen_after_ns: int = 0) -> FunctionStatistics:
    """Return a row of durations in milliseconds."""
    return statistics([each * MS for each in durations_ms], errors=errors, arrived_ns=ARRIVED_NS + seen_after_ns)


def window(losses: dict[str, Losses] | None = None) -> Snapshot:
    """Return a small window; one function has rows in two versions."""
    table = Table()
    table.put(RowKey("GET /a", "shop", "1"), row(1, 2, errors=1))
    table.put(RowKey("GET /a", "shop", "2"), row(500, seen_after_ns=10**9))
    table.put(RowKey("GET /b", "shop", "1"), row(30, 30, 30, 30))
    table.put(RowKey("job", "till", "1"), row(90, errors=1, seen_after_ns=-(10**9)))
    return snapshot_of(table, losses)


def data_of(snapshot: Snapshot, **asked: Any) -> dict[str, Any]:
    """Return the parsed answer to `GET data`."""
    answer: dict[str, Any] = json.loads(render_data(snapshot, **asked))
    return answer


def test_a_row_has_the_specifications_columns_and_ours() -> None:
    """Rows are merged over their labels; durations are in seconds, named and ordered as in the contract."""
    found = data_of(window())["data"]["GET /a"]
    percentiles = {name: found.pop(name) for name in ("p50_time", "p90_time", "p95_time", "p99_time")}
    assert [
        ("calls", 3),
        ("total_time", 0.503),
        ("min_time", 0.001),
        ("max_time", 0.5),
        ("avg_time", 0.503 / 3),
        ("errors", 1),
        ("first_seen", "2025-11-23T00:00:00.123456Z"),
        ("last_seen", "2025-11-23T00:00:01.123456Z"),
    ] == list(found.items())
    assert percentiles == pytest.approx(
        {"p50_time": 0.002, "p90_time": 0.5, "p95_time": 0.5, "p99_time": 0.5}, rel=0.00776
    )


def test_meta_tells_about_the_window() -> None:
    """`functions` counts before any limit; generation, start, moment and services are those of the snapshot."""
    meta = data_of(window(), limit=1)["meta"]
    assert {
        "generation": 7,
        "window_start": "2025-11-22T23:59:00.123456Z",
        "generated_at": "2025-11-23T00:00:00.123456Z",
        "functions": 3,
        "services": ["shop", "till"],
        "complete": True,
        "dropped": 0,
        "rejected": 0,
        "unknown": 0,
        "overflowed": 0,
        "set_aside": 0,
        "sampled": False,
        "late": 0,
    } == meta


def test_an_empty_window_is_an_answer() -> None:
    """Nothing counted yet is an empty object, not an error."""
    answer = data_of(snapshot_of(Table()))
    assert ({}, 0, [], True) == (
        answer["data"],
        answer["meta"]["functions"],
        answer["meta"]["services"],
        answer["meta"]["complete"],
    )


def test_rows_come_by_total_time_unless_asked() -> None:
    """The row that cost most comes first."""
    assert ["GET /a", "GET /b", "job"] == list(data_of(window())["data"])


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("column", SORT_COLUMNS)
def test_rows_come_in_sort_order(column: str, descending: bool) -> None:
    """The object's keys keep the order asked for, and a limit cuts its end."""
    snapshot = window()
    expected = [name for name, _ in sort_rows(merge_by_name(snapshot.rows), column, descending=descending, limit=None)]
    assert expected == list(data_of(snapshot, sort=column, descending=descending)["data"])
    assert expected[:2] == list(data_of(snapshot, sort=column, descending=descending, limit=2)["data"])
    values = [
        name if column == "function_name" else found[column]
        for name, found in data_of(snapshot, sort=column, descending=descending)["data"].items()
    ]
    assert sorted(values, reverse=descending) == values


def test_an_answer_changes_nothing_in_the_snapshot() -> None:
    """Two answers from one snapshot are the same."""
    snapshot = window()
    before = [(key, figures(row)) for key, row in snapshot.rows]
    assert render_data(snapshot) == render_data(snapshot)
    assert before == [(key, figures(row)) for key, row in snapshot.rows]


def test_losses_are_summed_over_services() -> None:
    """`complete` is false when any service lost anything, and the figures say how much."""
    meta = data_of(window({"shop": Losses(1, 2, 3, 4, 5, 6), "gone": Losses(10, 20, 30, 40, 50, 0)}))["meta"]
    assert {"complete": False, "dropped": 11, "rejected": 22, "unknown": 33, "overflowed": 44, "set_aside": 55} == {
        name: meta[name] for name in ("complete", "dropped", "rejected", "unknown", "overflowed", "set_aside")
    }
    assert (True, ["gone", "shop", "till"]) == (meta["sampled"], meta["services"])


def test_samples_alone_leave_a_table_complete() -> None:
    """Sampling is said, and is no loss."""
    report = report_losses([Losses(sampled=1)])
    assert (True, True) == (report["complete"], report["sampled"])


@pytest.mark.parametrize("count", [0, 2**53 + 1, 2**63 - 1])
def test_counts_are_exact_as_far_as_integers_go(count: int) -> None:
    """Up to 2^63 a count is written digit by digit."""
    assert json.dumps(count) == json.dumps(to_number(count))


def test_numbers_beyond_2_to_the_63_are_rendered() -> None:
    """However large sums get, an answer is JSON with the nearest number, and its averages stay right."""
    huge = statistics_of(aggregate([3 * 10**9], errors=1, sample_every=10**6), ARRIVED_NS)
    for _ in range(80):
        huge.merge(huge.copy())
    table = Table()
    table.put(RowKey("huge", "", ""), huge)
    losses = Losses(*[2**63, 2**64, 2**70, 2**80, 1, 1])
    answer = data_of(snapshot_of(table, {"": losses}))
    found = answer["data"]["huge"]
    assert (1e6 * 2**80, 1e6 * 2**80, 3e6 * 2**80) == (found["calls"], found["errors"], found["total_time"])
    assert (3.0, 3.0, 3.0) == (found["avg_time"], found["p50_time"], found["max_time"])
    assert (2.0**63, 2.0**64, 2.0**70) == tuple(answer["meta"][name] for name in ("dropped", "rejected", "unknown"))


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (
            Outcome(6, 1, (ItemError("samples[3]", "why"),), SequenceId("5f1c", 17), duplicate=False),
            {
                "accepted": 6,
                "rejected_items": 1,
                "errors": [{"item": "samples[3]", "reason": "why"}],
                "client": {"id": "5f1c", "seq": 17},
                "duplicate": False,
            },
        ),
        (
            Outcome(None, 0, (), SequenceId("5f1c", 2**53), duplicate=True),
            {
                "accepted": None,
                "rejected_items": 0,
                "errors": [],
                "client": {"id": "5f1c", "seq": 2**53},
                "duplicate": True,
            },
        ),
        (
            Outcome(0, 0, (), None, duplicate=False),
            {"accepted": 0, "rejected_items": 0, "errors": [], "client": None, "duplicate": False},
        ),
    ],
)
def test_an_outcome_is_answered_as_the_contract_says(outcome: Outcome, expected: dict[str, Any]) -> None:
    """Accepted calls, refused items by name, the sender's id and number, and whether this was a repeat."""
    assert expected == json.loads(render_outcome(outcome))


def test_a_sender_is_shown_with_its_silence() -> None:
    """Who ships, since when, how long silent, what was counted and lost; a clock set back is no negative silence."""
    client = SequenceId("5f1c", 3)
    arrived = batch(*named("a", "b"), client=client, lost=(1, 2, 3), final=True)
    sender = advance(None, client, arrived, ARRIVED_NS, minute=0)
    expected = {
        "id": "5f1c",
        "service": "shop",
        "version": "1",
        "instance": "web-1:412",
        "first_batch": "2025-11-23T00:00:00.123456Z",
        "last_batch": "2025-11-23T00:00:00.123456Z",
        "silent_seconds": 2.5,
        "batches": 3,
        "calls": 2,
        "dropped": 1,
        "rejected": 2,
        "unknown": 3,
        "final": True,
    }
    assert {"senders": [expected]} == json.loads(render_senders([sender], ARRIVED_NS + 2_500_000_000))
    (early,) = json.loads(render_senders([sender], ARRIVED_NS - 10**9))["senders"]
    assert 0 == early["silent_seconds"]


def test_senders_that_are_silent_longest_come_first() -> None:
    """By the time that the sidecar ran, then by the clock, which jumps; in whatever order the store has them."""
    arrived = batch(*named("a"), client=SequenceId("recent", 1))
    recent = advance(None, SequenceId("recent", 1), arrived, ARRIVED_NS - 9, minute=7)
    silent = recent._replace(id="silent", active_minute=6, last_batch_ns=ARRIVED_NS)
    late = recent._replace(id="late", last_batch_ns=ARRIVED_NS)
    for senders in ([recent, silent, late], [late, silent, recent]):
        report = json.loads(render_senders(senders, ARRIVED_NS))
        assert ["silent", "recent", "late"] == [sender["id"] for sender in report["senders"]]


def test_saves_are_listed_and_announced() -> None:
    """The message of a save is the specification's; a rotate says both generations."""
    message = "Profiling data saved to a.json"
    assert {"saves": [SAVE_REPORT]} == json.loads(render_saves([SAVE]))
    assert {"message": message, "file": SAVE_REPORT} == json.loads(render_save(SAVE))
    assert {"message": message, "file": SAVE_REPORT, "saved_generation": 7, "generation": 8} == json.loads(
        render_rotation(Rotation(SAVE, 7, 8))
    )


def test_an_error_has_one_shape() -> None:
    """Every error is `{"error": {"code", "message"}}`, and quotes in a message break nothing."""
    assert {"error": {"code": "malformed", "message": 'not "ü" \n'}} == json.loads(
        render_error("malformed", 'not "ü" \n')
    )


@pytest.mark.parametrize("name", ["first_seen", "last_seen"])
def test_times_of_rows_are_rfc_3339(name: str) -> None:
    """Every time in an answer ends with Z and is read by any standard reader."""
    for found in data_of(window())["data"].values():
        assert RFC_3339.fullmatch(found[name])
        assert timedelta(0) == datetime.fromisoformat(found[name]).utcoffset()
