from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.domain.batch import ItemError, Labels, SequenceId
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Rows, Selection, merge_by_name
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import MAX_DURATION_NS, MAX_DURATION_SECONDS, MAX_SEQ, NANOSECONDS, bucket_of
from chronoprof_sidecar.wire.batches import MAX_REFUSED_ITEMS, REPORTED_ERRORS, aggregate_durations, decode_batch
from tests.domain.building import bounded, duration_lists, figures, statistics
from tests.wire.bodies import GOOD, MS, body_of, item_of
from tests.wire.counting import ARRIVED_NS, count

names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter("_other".__ne__)
by_name = st.dictionaries(names, duration_lists, max_size=5)


def rows_of(body: bytes) -> Rows:
    """Return what a body counts, by function name."""
    return merge_by_name(count(decode_batch(body)).select(Selection()))


def row_of(body: bytes) -> FunctionStatistics:
    """Return the one row that a body counts."""
    (row,) = rows_of(body).values()
    return row


def test_the_example_of_the_contract_is_understood() -> None:
    """All three forms in one body count together, under the envelope's labels."""
    batch = decode_batch(
        b"""{"client": {"id": "5f1c", "seq": 17}, "service": "shop", "version": "2026.11.3", "instance": "web-1:412",
        "functions": {"GET /recall": {"calls": 3, "errors": 0, "total_ns": 600000000, "min_ns": 90000000,
                      "max_ns": 300000000, "buckets": [7900, 7979, 8012], "counts": [1, 1, 1], "sample_every": 1}},
        "durations": {"GET /recall": [0.25, 0.1]},
        "samples": [{"function_name": "GET /recall", "duration": 0.25, "error": true}],
        "span_seconds": 1.5, "dropped": 1, "rejected": 2, "unknown": 3, "final": true}"""
    )
    assert (SequenceId("5f1c", 17), Labels("shop", "2026.11.3"), "web-1:412") == (
        batch.client,
        batch.labels,
        batch.instance,
    )
    assert (6, 0, ()) == (batch.calls, batch.rejected_items, tuple(batch.errors))
    assert (1.5, 1, 2, 3, True) == (batch.span_seconds, batch.dropped, batch.rejected, batch.unknown, batch.final)
    (row,) = (row for _, row in count(batch).select(Selection()))
    assert (6, 1, 1_200_000_000) == (row.calls, row.errors, row.total_ns)
    assert (90_000_000, 300_000_000) == (row.min_ns, row.max_ns)


def test_everything_but_one_form_is_optional() -> None:
    """A body of one sample by hand has no sender, empty labels, and nothing lost."""
    batch = decode_batch(b'{"samples":[{"function_name":"job","duration":2}]}')
    assert (None, Labels("", ""), "", None) == (batch.client, batch.labels, batch.instance, batch.span_seconds)
    assert (1, 0, 0, 0, False) == (batch.calls, batch.dropped, batch.rejected, batch.unknown, batch.final)


@bounded
@given(by_name, st.integers(1, 1000))
def test_decoding_functions_returns_what_was_encoded(counted: dict[str, list[int]], every: int) -> None:
    """The `functions` form arrives to the nanosecond, samples multiplied."""
    body = body_of(functions={name: item_of(each, errors=1, sample_every=every) for name, each in counted.items()})
    batch = decode_batch(body)
    assert (every * sum(map(len, counted.values())), 0) == (batch.calls, batch.rejected_items)
    for name, row in rows_of(body).items():
        assert (every * len(counted[name]), every) == (row.calls, row.errors)
        assert every * sum(counted[name]) == row.total_ns
        assert (min(counted[name]), max(counted[name])) == (row.min_ns, row.max_ns)
    assert counted.keys() == rows_of(body).keys()


@bounded
@given(by_name.filter(bool))
def test_all_forms_count_the_same(counted: dict[str, list[int]]) -> None:
    """The same calls in any of the three forms, or in all of them at once, make the same rows."""
    seconds = {name: [each / NANOSECONDS for each in durations] for name, durations in counted.items()}
    samples = [{"function_name": name, "duration": each} for name, durations in seconds.items() for each in durations]
    functions = {name: item_of(durations) for name, durations in counted.items()}
    forms: list[dict[str, Any]] = [{"functions": functions}, {"durations": seconds}, {"samples": samples}]
    expected = {name: figures(statistics(durations, arrived_ns=ARRIVED_NS)) for name, durations in counted.items()}
    for form in forms:
        assert expected == {name: figures(row) for name, row in rows_of(body_of(**form)).items()}
    mixed = body_of(**forms[0], **forms[1], **forms[2])
    expected = {name: figures(statistics(durations * 3, arrived_ns=ARRIVED_NS)) for name, durations in counted.items()}
    assert expected == {name: figures(row) for name, row in rows_of(mixed).items()}


@bounded
@given(st.lists(st.floats(0, MAX_DURATION_SECONDS), min_size=1, max_size=50))
def test_durations_add_up_as_exactly_as_floats_can(durations: list[float]) -> None:
    """The total of durations is their sum rounded once, and extremes are rounded to whole nanoseconds."""
    item = aggregate_durations(durations)
    exact = sum(int(each * 2**60) for each in durations) * NANOSECONDS // 2**60
    assert abs(item.total_ns - exact) <= max(len(durations), exact * 2**-51)
    assert (round(min(durations) * NANOSECONDS), round(max(durations) * NANOSECONDS)) == (item.min_ns, item.max_ns)
    assert (len(durations), len(durations)) == (item.calls, sum(item.counts))


def test_errors_of_samples_are_counted() -> None:
    """A sample that raised is an error of its function alone."""
    flags = [("a", True), ("b", False), ("a", False), ("a", True)]
    body = body_of(samples=[{"function_name": name, "duration": 1, "error": error} for name, error in flags])
    assert {"a": 2, "b": 0} == {name: row.errors for name, row in rows_of(body).items()}


def test_negative_zero_is_a_duration_of_zero() -> None:
    """JSON's `-0.0` sorts below every other duration, as zero does."""
    row = row_of(b'{"durations":{"a":[-0.0, 5, -0, 0]}}')
    assert [0.0, 0.0, 5.0] == row.percentiles([1, 75, 100])
    assert (0, 5 * NANOSECONDS) == (row.min_ns, row.max_ns)


def test_the_longest_duration_counts() -> None:
    """Ten days are counted in every form, and a list of many such keeps its true total beyond 64 bits."""
    (samples, durations) = ([{"function_name": "a", "duration": MAX_DURATION_SECONDS}], [MAX_DURATION_SECONDS] * 30_000)
    row = row_of(body_of(samples=samples, durations={"a": durations}, functions={"a": item_of([MAX_DURATION_NS])}))
    assert (30_002, 30_002 * MAX_DURATION_NS) == (row.calls, row.total_ns)
    assert row.total_ns > 2**64


@pytest.mark.parametrize(
    ("item", "calls"),
    [
        (item_of([4_194_304], calls=2**40, counts=[2**40], total_ns=2**62), 2**40),
        (item_of([MS], calls=2**21, counts=[2**21], total_ns=2**21 * MS, sample_every=2**19), 2**40),
        (item_of([MS], sample_every=1_000_000), 1_000_000),
        (item_of([0, 1, 999, 1000]), 4),
        (item_of([100, 100, 100], total_ns=297), 3),
        (item_of([100, 100, 100], total_ns=303), 3),
        (item_of([0, 0], total_ns=2), 2),
        (item_of([MS], buckets=[bucket_of(0.001) + 1]), 1),
        (item_of([MS], buckets=[bucket_of(0.001) - 1]), 1),
        (item_of([1000], buckets=[0]), 1),
        (item_of([MS], errors=1), 1),
        ({**GOOD, "a field of a newer release": {"deep": [1]}}, 3),
        ({name: value for name, value in GOOD.items() if name not in ("errors", "sample_every")}, 3),
    ],
)
def test_an_item_at_its_bounds_counts(item: dict[str, Any], calls: int) -> None:
    """What is just allowed is allowed: bounds, rounding to whole nanoseconds, fields that nobody knows yet."""
    batch = decode_batch(body_of(functions={"a": item}))
    assert ([], calls) == (batch.errors, batch.calls)


@pytest.mark.parametrize("form", ["functions", "durations", "samples"])
def test_an_empty_form_is_a_form(form: str) -> None:
    """A body with a form that holds nothing counts nothing, and is no mistake."""
    batch = decode_batch(body_of(**{form: [] if form == "samples" else {}}))
    assert (0, 0, []) == (batch.calls, batch.rejected_items, batch.items)


@pytest.mark.parametrize("figure", [{"dropped": 1}, {"rejected": 1}, {"unknown": 2**62}, {"final": True}])
def test_loss_figures_need_no_form(figure: dict[str, Any]) -> None:
    """A sender may tell what it lost, or that it ends, without counting anything."""
    batch = decode_batch(body_of(**figure))
    assert (0, 0) == (batch.calls, batch.rejected_items)
    assert list(figure.values()) == [getattr(batch, name) for name in figure]


@pytest.mark.parametrize("fields", [{}, {"final": False, "dropped": 0}, {"service": "shop", "client": None}])
def test_a_body_that_says_nothing_is_refused(fields: dict[str, Any]) -> None:
    """None of the three forms, no loss and no end: somebody misspelled a field."""
    with pytest.raises(MalformedRequestError, match="needs one of functions, durations, samples"):
        decode_batch(body_of(**fields))


def test_the_rest_of_a_body_with_bad_items_counts() -> None:
    """One bad item of each form is named; everything else counts as it would without it."""
    good: dict[str, Any] = {"functions": {"f": GOOD}, "durations": {"d": [0.1, 0.2]}}
    sample = {"function_name": "s", "duration": 0.3, "error": True}
    bad: dict[str, Any] = {
        "functions": {"bad f": {**GOOD, "calls": "3"}, **good["functions"], "worse f": {**GOOD, "calls": 4}},
        "durations": {"bad d": [], **good["durations"], "mixed": [0.5, "x", -1], "no list": 3},
        "samples": [{"function_name": "s", "duration": None}, sample, 5],
    }
    batch = decode_batch(body_of(**bad))
    expected = rows_of(body_of(**good, samples=[sample])) | rows_of(body_of(durations={"mixed": [0.5]}))
    assert {name: figures(row) for name, row in expected.items()} == {
        name: figures(row) for name, row in rows_of(body_of(**bad)).items()
    }
    refused = ["bad f", "worse f", "bad d", "mixed[1]", "mixed[2]", "no list", "samples[0]", "samples[2]"]
    assert (refused, 8, 7) == ([error.item for error in batch.errors], batch.rejected_items, batch.calls)


def test_the_first_refused_items_are_named_and_all_are_counted() -> None:
    """An answer names the first 20 refused items, long names cut, and tells how many there were."""
    body = body_of(durations={f"{'n' * 500}{n}" if n < 1 else str(n): ["x"] for n in range(50)})
    batch = decode_batch(body)
    assert (REPORTED_ERRORS, 50) == (len(batch.errors), batch.rejected_items)
    assert (20, "n" * 80) == (REPORTED_ERRORS, batch.errors[0].item)


def test_too_many_bad_items_refuse_the_body() -> None:
    """A thousand bad items are counted; with one more the body is refused whole, and the first of them is named."""
    assert MAX_REFUSED_ITEMS == decode_batch(body_of(samples=[5] * MAX_REFUSED_ITEMS)).rejected_items
    with pytest.raises(MalformedRequestError, match=r"more than 1000 items are bad, the first of them 'samples\[0\]'"):
        decode_batch(body_of(samples=[5] * (MAX_REFUSED_ITEMS + 1)))


def test_of_duplicate_keys_the_last_wins() -> None:
    """Fields, functions and forms that come twice count as they came last, right or wrong."""
    twice = b'{"service":"a","service":"b","durations":{"f":[9]},"durations":{"f":[1],"f":[2,3],"g":["x"],"g":[4]}}'
    batch = decode_batch(twice)
    assert (Labels("b", ""), 3, []) == (batch.labels, batch.calls, batch.errors)
    assert 5 * NANOSECONDS == rows_of(twice)["f"].total_ns
    assert ["f"] == [each.item for each in decode_batch(b'{"durations":{"f":[1],"f":[]}}').errors]


def test_a_body_is_told_from_every_other() -> None:
    """A sender's batch keeps the body it came from, and a digest that differs for any other text."""
    one, other = (b'{"client":{"id":"x","seq":1},"durations":{"a":[1' + end for end in (b"]}}", b"] }}"))
    batch = decode_batch(one)
    assert one == batch.body
    assert 16 == len(batch.digest)
    assert batch.digest == decode_batch(one).digest
    assert batch.digest != decode_batch(other).digest


@pytest.mark.parametrize(
    ("field", "at"),
    [
        ('"service": 5', "service"),
        ('"service": null', "service"),
        ('"service": "a\\u0000"', "service"),
        ('"service": "a\\u0085b"', "service"),
        (f'"service": "{"x" * 129}"', "service"),
        ('"version": ["1"]', "version"),
        ('"version": "\\n"', "version"),
        ('"instance": true', "instance"),
        ('"instance": "a\\tb"', "instance"),
        ('"client": "5f1c"', "client"),
        ('"client": {"id": "a"}', "client"),
        ('"client": {"seq": 1}', "client"),
        ('"client": {"id": "", "seq": 1}', "client.id"),
        (f'"client": {{"id": "{"x" * 65}", "seq": 1}}', "client.id"),
        ('"client": {"id": "a\\n", "seq": 1}', "client.id"),
        ('"client": {"id": 7, "seq": 1}', "client.id"),
        ('"client": {"id": "a", "seq": 0}', "client.seq"),
        ('"client": {"id": "a", "seq": -1}', "client.seq"),
        ('"client": {"id": "a", "seq": true}', "client.seq"),
        ('"client": {"id": "a", "seq": "1"}', "client.seq"),
        ('"client": {"id": "a", "seq": 1.5}', "client.seq"),
        (f'"client": {{"id": "a", "seq": {MAX_SEQ + 1}}}', "client.seq"),
        (f'"client": {{"id": "a", "seq": {"9" * 5000}}}', "client.seq"),
        ('"span_seconds": -1', "span_seconds"),
        ('"span_seconds": "1"', "span_seconds"),
        ('"span_seconds": 1e999', "span_seconds"),
        ('"dropped": -1', "dropped"),
        ('"dropped": 0.5', "dropped"),
        ('"dropped": null', "dropped"),
        (f'"dropped": {2**63}', "dropped"),
        (f'"rejected": {2**62 + 1}', "rejected"),
        ('"rejected": true', "rejected"),
        (f'"unknown": {"9" * 5000}', "unknown"),
        ('"final": 1', "final"),
        ('"final": "true"', "final"),
        ('"functions": []', "functions"),
        ('"functions": null', "functions"),
        ('"durations": [0.1]', "durations"),
        ('"samples": {"function_name": "a", "duration": 1}', "samples"),
        ('"samples": "x"', "samples"),
    ],
)
def test_a_bad_envelope_is_refused_and_named(field: str, at: str) -> None:
    """A bad field outside of the items refuses the whole body, and the message says which, at its path."""
    for form in ('"durations": {"good": [1]}', '"durations": {"bad": ["x"]}'):
        with pytest.raises(MalformedRequestError, match=rf"at `\$\.{at}`|field `(id|seq)` - at `\$\.client`"):
            decode_batch(f"{{{form}, {field}}}".encode())


@pytest.mark.parametrize("seq", [1, MAX_SEQ])
def test_sequence_numbers_go_to_2_to_the_53(seq: int) -> None:
    """Any number that a JSON reader of any language keeps exact is a sequence number."""
    assert SequenceId("ü 🐍", seq) == decode_batch(body_of(client={"id": "ü 🐍", "seq": seq}, final=True)).client


def test_a_named_error_carries_its_reason() -> None:
    """The answer's reason says what was expected and where."""
    batch = decode_batch(body_of(functions={"f": {**GOOD, "calls": 0}}))
    assert [ItemError("f", "Expected `int` >= 1 - at `$.calls`")] == batch.errors
