import csv
import io
import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics, statistics_of
from chronoprof_sidecar.domain.table import Table
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.wire.reports import render_data
from chronoprof_sidecar.wire.save_format import encode_compact, write_save
from chronoprof_sidecar.wire.saves import SAVE_SCHEMA_VERSION, load_save, render_csv_save, render_json_save
from tests.domain.building import aggregate, bounded, duration_lists, figures, statistics
from tests.wire.counting import ARRIVED_NS, snapshot_of

MS = 1_000_000

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)
keys = st.builds(RowKey, texts, texts, texts)
amounts = st.integers(0, 100) | st.integers(2**52, 2**70)
rows = st.builds(
    # Doubled over and over, a row gets beyond what 64 bits hold.
    lambda durations, every, doublings: doubled(statistics_of(aggregate(durations, sample_every=every), 5), doublings),
    duration_lists,
    st.integers(1, 10**6),
    st.sampled_from([0, 0, 30, 60]),
)
all_losses = st.dictionaries(texts, st.builds(Losses, *[amounts] * 6), max_size=3)


def doubled(row: FunctionStatistics, doublings: int) -> FunctionStatistics:
    """Return the row merged with itself so many times, and last seen long after it was first."""
    row.last_seen_ns = ARRIVED_NS
    for _ in range(doublings):
        row.merge(row.copy())
    return row


def table_of(contents: dict[RowKey, FunctionStatistics]) -> Table:
    """Return a table of these rows."""
    table = Table()
    for key, row in contents.items():
        table.put(key, row)
    return table


def example() -> Snapshot:
    """Return a small window: two versions of one endpoint, and a function."""
    contents = {
        RowKey("GET /a", "shop", "1"): statistics([MS, 2 * MS], errors=1, arrived_ns=ARRIVED_NS),
        RowKey("GET /a", "shop", "2"): statistics([3 * MS], arrived_ns=ARRIVED_NS),
        RowKey("job", "till", "1"): statistics([9 * MS], arrived_ns=ARRIVED_NS),
    }
    return snapshot_of(table_of(contents), {"shop": Losses(dropped=1, overflowed=2**60)})


def json_save(snapshot: Snapshot) -> bytes:
    """Return a whole JSON save."""
    return b"".join(render_json_save(snapshot))


@bounded
@given(st.dictionaries(keys, rows, max_size=5), all_losses)
def test_a_save_loads_back_as_it_was(contents: dict[RowKey, FunctionStatistics], losses: dict[str, Losses]) -> None:
    """decode(encode(x)) = x for whole windows, integers beyond 2^53 and 2^64 included."""
    snapshot = snapshot_of(table_of(contents), losses)
    loaded = load_save(json_save(snapshot))
    assert {key: figures(row) for key, row in snapshot.rows} == {key: figures(row) for key, row in loaded.rows}
    assert (snapshot.generation, snapshot.window_start_ns, snapshot.taken_ns, snapshot.services) == (
        loaded.generation,
        loaded.window_start_ns,
        loaded.taken_ns,
        loaded.services,
    )
    assert snapshot.losses == loaded.losses


@bounded
@given(st.dictionaries(keys, rows, max_size=5), all_losses)
def test_a_save_has_the_data_that_get_answers(
    contents: dict[RowKey, FunctionStatistics], losses: dict[str, Losses]
) -> None:
    """A script written for `GET data` reads a save: top-level `data` and `meta` are the same, in the same order."""
    snapshot = snapshot_of(table_of(contents), losses)
    save, answer = json.loads(json_save(snapshot)), json.loads(render_data(snapshot))
    assert answer == {"data": save["data"], "meta": save["meta"]}
    assert list(answer["data"]) == list(save["data"])


def test_a_save_says_what_it_holds() -> None:
    """Schema version, generation, both ends of the window, losses per service, and each row with its histogram."""
    save = json.loads(json_save(example()))
    assert (SAVE_SCHEMA_VERSION, 7) == (save["schema_version"], save["generation"])
    assert ("2025-11-22T23:59:00.123456Z", "2025-11-23T00:00:00.123456Z") == (save["window_start"], save["window_end"])
    assert str(ARRIVED_NS + 1) == save["window_end_ns"]
    figures_of_shop = {
        "dropped": 1,
        "rejected": 0,
        "unknown": 0,
        "overflowed": str(2**60),
        "set_aside": 0,
        "sampled": 0,
        "late": 0,
    }
    assert [{"service": "shop", **figures_of_shop}] == save["losses"]
    assert {
        "function_name": "GET /a",
        "service": "shop",
        "version": "1",
        "calls": 2,
        "errors": 1,
        "total_ns": 3 * MS,
        "min_ns": MS,
        "max_ns": 2 * MS,
        "first_seen_ns": str(ARRIVED_NS),
        "last_seen_ns": str(ARRIVED_NS),
        "buckets": [7489, 7553],
        "counts": [1, 1],
    } == save["rows"][0]


def test_integers_that_floats_cannot_hold_are_strings() -> None:
    """Up to 2^53 a figure that loading needs is a number, beyond a decimal string, in counts as in sums."""
    one = statistics_of(aggregate([1]), 0)
    contents = {RowKey("a", "", ""): doubled(one, 53), RowKey("b", "", ""): doubled(one.copy(), 1)}
    at, beyond = json.loads(json_save(snapshot_of(table_of(contents))))["rows"]
    assert (2**53, 2**53, [2**53]) == (at["calls"], at["total_ns"], at["counts"])
    assert (str(2**54), str(2**54), [str(2**54)]) == (beyond["calls"], beyond["total_ns"], beyond["counts"])


def test_the_standard_library_writes_the_same_save() -> None:
    """A save that the command line wrote, where no other encoder is installed, is the same to the byte."""
    assert json_save(example()) == b"".join(write_save(example(), encode_compact))


@pytest.mark.parametrize("indent", [None, 2])
def test_a_save_may_be_formatted_anew(indent: int | None) -> None:
    """Rows need not stand on lines of their own, as they were written: any layout of the same JSON loads the same."""
    written = json_save(example())
    formatted, loaded = (load_save(each) for each in (json.dumps(json.loads(written), indent=indent).encode(), written))
    assert {key: figures(row) for key, row in loaded.rows} == {key: figures(row) for key, row in formatted.rows}
    assert loaded.losses == formatted.losses


def test_rows_without_a_comma_are_no_save() -> None:
    """Reading row by row is as strict as reading all at once."""
    with pytest.raises(MalformedRequestError):
        load_save(json_save(example()).replace(b"},\n{", b"}\n{"))


def test_an_empty_window_is_a_save() -> None:
    """A save of nothing loads back as nothing."""
    loaded = load_save(json_save(snapshot_of(Table())))
    assert ([], [], {}) == (loaded.rows, loaded.services, loaded.losses)


def spoil(row: dict[str, Any] | None = None, **head: Any) -> bytes:
    """Return a right save with some fields of its head, or of its first row, replaced."""
    save = json.loads(json_save(example())) | head
    save["rows"][:1] = [save["rows"][0] | (row or {})]
    return json.dumps(save).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'{"data": {}}',
        b'\xff{"schema_version": 1}',
        b"[" * 100_000,
        b"function_name,service\r\n",
        json_save(example())[:-20],
        spoil(schema_version=0),
        spoil(schema_version=SAVE_SCHEMA_VERSION + 1),
        spoil(schema_version="1"),
        spoil(window_start_ns="yesterday"),
        spoil(window_end_ns=-1),
        spoil(window_end_ns="9" * 5000),
        spoil(losses=[{"service": "shop", "dropped": -1}]),
        spoil(losses=[{"service": "shop", "dropped": "-1"}]),
        spoil(losses=[{}]),
        spoil({"calls": 3}),
        spoil({"calls": "two"}),
        spoil({"errors": 3}),
        spoil({"errors": -1}),
        spoil({"total_ns": 1}),
        spoil({"min_ns": 3 * MS}),
        spoil({"max_ns": 10**18}),
        spoil({"buckets": [], "counts": []}),
        spoil({"buckets": [], "counts": [], "calls": 0, "errors": 0, "total_ns": 0}),
        spoil({"buckets": [7489]}),
        spoil({"buckets": [7553, 7489]}),
        spoil({"buckets": [7489, 10**12]}),
        spoil({"buckets": [-1, 7553]}),
        spoil({"counts": [2]}),
        spoil({"counts": [0, 2]}),
        spoil({"counts": [-1, 3]}),
        spoil({"counts": ["1", "x"]}),
        spoil({"first_seen_ns": None}),
        spoil({"function_name": 5}),
        spoil({"function_name": "half a pair \ud800"}),
        spoil({"service": "forged\nline"}),
        spoil({"calls": True}),
        spoil({"first_seen_ns": 10**40}),
    ],
)
def test_what_is_no_save_is_refused(content: bytes) -> None:
    """A file of another kind or a later schema, a damaged one, and one at odds with itself are not loaded."""
    with pytest.raises(MalformedRequestError, match="save"):
        load_save(content)


def test_any_damage_to_a_save_is_loaded_or_refused() -> None:
    """Whatever a disk or an editor does to a save, it loads, or is refused, and nothing else happens."""
    whole = json_save(example())
    chance = random.Random(1)
    for _ in range(300):
        content = bytearray(whole)
        start = chance.randrange(len(content))
        content[start : start + chance.randint(0, 3)] = chance.choice(
            (b"", b"9", b"-", b'"', b"[", chance.randbytes(2))
        )
        try:
            loaded = load_save(bytes(content))
        except MalformedRequestError:
            continue
        assert json.loads(render_data(loaded))["data"]


def read_csv(snapshot: Snapshot) -> list[dict[str, str]]:
    """Return the rows of a CSV export as a standard reader sees them."""
    text = b"".join(render_csv_save(snapshot)).decode()
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_csv_export_has_the_columns_of_a_row() -> None:
    """One line per function name, service and version, with the figures that `GET data` would show for it."""
    lines = read_csv(example())
    assert [("GET /a", "shop", "1"), ("GET /a", "shop", "2"), ("job", "till", "1")] == [
        (line["function_name"], line["service"], line["version"]) for line in lines
    ]
    report = json.loads(render_data(example()))["data"]["job"]
    assert {name: str(value) for name, value in report.items()} == dict(list(lines[2].items())[3:])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('=HYPERLINK("http://example.org","x")', """'=HYPERLINK("http://example.org","x")"""),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\uff1d1", "'\uff1d1"),
        (" \u3000=1", "' \u3000=1"),
        ("a;=1", "a;'=1"),
        ("a|+1,@b", "a|'+1,'@b"),
        ("'=1", "''=1"),
        ("GET /a-b/{c}", "GET /a-b/{c}"),
    ],
)
def test_a_csv_export_holds_no_formula(text: str, expected: str) -> None:
    """A name or label that a spreadsheet would compute is text to it, whatever ends a cell in its locale."""
    (line,) = read_csv(snapshot_of(table_of({RowKey(text, text, text): statistics([MS])})))
    assert [expected] * 3 == [line["function_name"], line["service"], line["version"]]


@bounded
@given(texts | st.text(st.sampled_from(" '=+-@,;|\u3000\uff1dx"), min_size=1, max_size=12))
def test_any_name_survives_a_csv_export(text: str) -> None:
    """Quotes, commas and separators of any kind in a name neither break a line nor change the name."""
    (line,) = read_csv(snapshot_of(table_of({RowKey(text, "s", "v"): statistics([MS])})))
    escape = r"(?:^|(?<=[,;|\t\r\n]))'(?=\s*['=+\-@\uff1d\uff0b\uff0d\uff20])"
    assert text == re.sub(escape, "", line["function_name"])
