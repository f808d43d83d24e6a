"""Nothing that a client can send does anything but count, or be refused as malformed."""

import json
import random
from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import BUCKET_COUNT, MAX_DURATION_NS, is_clean
from chronoprof_sidecar.wire.batches import decode_batch
from chronoprof_sidecar.wire.judging import refuse_contradiction
from chronoprof_sidecar.wire.reports import render_data, render_error
from chronoprof_sidecar.wire.saves import load_save, render_csv_save, render_json_save
from chronoprof_sidecar.wire.schema import FunctionItem
from tests.domain.building import bounded
from tests.scale import scaled
from tests.wire.bodies import GOOD, body_of, changed
from tests.wire.counting import count, snapshot_of

NINES = b"9" * 5000
DEEPER_THAN_ANY_STACK = 100_000
DEEP = b"[" * DEEPER_THAN_ANY_STACK + b"]" * DEEPER_THAN_ANY_STACK

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "blanks": b" \n\t",
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "a string": b'"x"',
    "cut short": b'{"durations":{"a":[1]}',
    "two bodies": b'{"final":true}{"final":true}',
    "a NUL after it": b'{"final":true}\x00',
    "a byte order mark": b'\xef\xbb\xbf{"final":true}',
    "UTF-16": '{"final":true}'.encode("utf-16"),
    "single quotes": b"{'final':true}",
    "a trailing comma": b'{"final":true,}',
    "a comment": b'{"final":true}//',
    "a key that is no string": b'{5:true,"final":true}',
    "NaN": b'{"durations":{"a":[NaN]}}',
    "Infinity": b'{"durations":{"a":[Infinity]}}',
    "-Infinity": b'{"durations":{"a":[1,-Infinity]}}',
    "NaN after a bad item": b'{"samples":[5,{"function_name":"a","duration":NaN}]}',
    "NaN in an ignored field": b'{"final":true,"new":NaN}',
    "a number that is none": b'{"durations":{"a":[1.]}}',
    "a leading zero after a bad item": b'{"samples":[5,{"function_name":"a","duration":01}]}',
    "a hexadecimal number": b'{"durations":{"a":[0x1]}}',
    "wrong UTF-8 in a name": b'{"durations":{"\xff":[1]}}',
    "wrong UTF-8 in a label": b'{"service":"\xc3","final":true}',
    "wrong UTF-8 after a bad item": b'{"samples":[5,{"function_name":"\xff","duration":1}]}',
    "wrong UTF-8 in an ignored field": b'{"final":true,"new":"\xff"}',
    "wrong UTF-8 in an ignored key": b'{"final":true,"\xff":1}',
    "wrong UTF-8 in an ignored field of an item": b'{"samples":[5,{"function_name":"a","duration":1,"x":"\xff"}]}',
    "an overlong NUL": b'{"durations":{"\xc0\x80":[1]}}',
    "a surrogate as UTF-8": b'{"durations":{"\xed\xa0\x80":[1]}}',
    "a lone surrogate in a name": b'{"durations":{"\\ud800":[1]}}',
    "a lone low surrogate": b'{"samples":[{"function_name":"\\udc00","duration":1}]}',
    "a lone surrogate after a bad item": b'{"samples":[5,{"function_name":"\\ud800","duration":1}]}',
    "a lone surrogate in the id": b'{"client":{"id":"\\ud800","seq":1},"final":true}',
    "two high surrogates": b'{"service":"\\ud800\\ud800","final":true}',
    "a raw control character": b'{"durations":{"a\nb":[1]}}',
    "an unknown escape": b'{"durations":{"\\q":[1]}}',
    "5000 digits as a number of sequence": b'{"client":{"id":"a","seq":' + NINES + b'},"final":true}',
    "5000 digits as a loss": b'{"dropped":' + NINES + b"}",
    "1e999 as a span": b'{"span_seconds":1e999,"final":true}',
    "a deep body": DEEP,
    "half a deep body": b"[" * 100_000,
    "a deep object": b'{"a":' * 100_000,
    "a deep form": b'{"durations":' + DEEP + b"}",
    "a deep item": b'{"durations":{"a":' + DEEP + b"}}",
    "a deep ignored field": b'{"final":true,"new":' + DEEP + b"}",
    "a deep ignored field after a bad item": b'{"samples":[5,{"function_name":"a","new":' + DEEP + b"}]}",
}

REJECTED: dict[str, tuple[str, str]] = {
    "1e999": ('"durations":{"a":[1e999]}', "a[0]"),
    "-1e999": ('"durations":{"a":[-1e999]}', "a[0]"),
    "5000 digits": (f'"durations":{{"a":[{NINES.decode()}]}}', "a[0]"),
    "5000 digits in a sample": (f'"samples":[{{"function_name":"a","duration":{NINES.decode()}}}]', "samples[0]"),
    "5000 digits in an aggregate": (f'"functions":{{"a":{{"calls":{NINES.decode()}}}}}', "a"),
    "5000 digits after the point": (f'"durations":{{"a":[-0.{NINES.decode()}]}}', "a[0]"),
    "2^63": (f'"durations":{{"a":[{2**63}]}}', "a[0]"),
    "a list within a list": ('"durations":{"a":[[1]]}', "a[0]"),
    "an escaped control character": ('"durations":{"a\\u0000b":[1]}', "a\x00b"),
    "an escaped C1 control character": ('"durations":{"\\u0085":[1]}', "\x85"),
    "_other": ('"durations":{"_other":[1]}', "_other"),
    "_other by escapes": ('"durations":{"\\u005fother":[1]}', "_other"),
    "nothing in a list": ('"durations":{"a":[]}', "a"),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_hostile_body_is_refused_whole(body: bytes) -> None:
    """What is not JSON in UTF-8, of a depth that any stack holds, with a right envelope, is malformed."""
    with pytest.raises(MalformedRequestError):
        decode_batch(body)


@pytest.mark.parametrize(("form", "item"), REJECTED.values(), ids=REJECTED)
def test_a_hostile_item_is_rejected_alone(form: str, item: str) -> None:
    """What is right JSON but no item is named, and what came with it counts."""
    batch = decode_batch(f'{{{form},"new":1e999,"functions_":[{2**99}]}}'.encode())
    assert [item] == [error.item for error in batch.errors]
    batch = decode_batch(f'{{"functions":{{"good":{json.dumps(GOOD)}}},{form}}}'.encode())
    assert '"functions"' in form or 3 == batch.calls


def test_nesting_near_the_stacks_end_is_refused_at_most() -> None:
    """Wherever exactly the stack ends, in the first pass or in an item, the body is malformed and nothing else."""

    def calls_at(levels: int) -> int:
        nested = b"[" * levels + b"]" * levels
        try:
            batch = decode_batch(b'{"samples":[5,{"function_name":"a","duration":1,"new":' + nested + b"}]}")
        except MalformedRequestError:
            return 0
        return batch.calls

    end = bisect_left(range(DEEPER_THAN_ANY_STACK), True, key=lambda levels: not calls_at(levels))
    verdicts = [calls_at(levels) for levels in range(end - 120, end + 20)]
    assert {0, 1} == set(verdicts)
    assert sorted(verdicts, reverse=True) == verdicts


def check_batch(batch: Batch) -> None:
    """Assert that a decoded batch keeps every rule, and that it can be counted, shown, saved and loaded."""
    assert batch.calls == sum(item.calls * item.sample_every for _, item in batch.items)
    assert len(batch.errors) == min(20, batch.rejected_items)
    assert all(0 <= lost <= 2**62 for lost in (batch.dropped, batch.rejected, batch.unknown))
    assert all(map(is_clean, (*batch.labels, batch.instance)))
    for name, item in batch.items:
        assert is_clean(name)
        assert 1 <= len(name) <= 512
        assert name != "_other"
        assert 0 <= item.min_ns <= item.max_ns <= MAX_DURATION_NS
        assert all(0 <= bucket < BUCKET_COUNT for bucket in item.buckets)
        assert isinstance(item, FunctionItem)
        assert refuse_contradiction(item) is None
    assert batch == decode_batch(batch.body)
    snapshot = snapshot_of(count(batch), {batch.labels.service: Losses(batch.dropped, batch.rejected, batch.unknown)})
    calls = sum(row["calls"] for row in json.loads(render_data(snapshot))["data"].values())
    assert batch.calls == calls
    assert b"".join(render_csv_save(snapshot))
    save = b"".join(render_json_save(snapshot))
    assert batch.calls == sum(row.calls for _, row in load_save(save).rows)


def decode_or_refuse(body: bytes) -> None:
    """Decode anything: a batch that keeps every rule, or a refusal that can be shown; any other error fails."""
    try:
        batch = decode_batch(body)
    except MalformedRequestError as refusal:
        render_error(refusal.code, str(refusal))
        return
    check_batch(batch)


HOSTILE_TOKENS = [
    b"-0.0", b"-1", b"1e999", b"NaN", NINES, b"9223372036854775808", b"true", b"null", b'""', b'"_other"',
    b'"\\ud800"', b'"\xff"', b"[]", b"{}", b'"\\u0000"', b"[" * 1000, b"5e-324", b"1.5", b"0", b",", b'"', b"\\",
    b'"a":', b'"calls":1,', b'"samples":[],',
]  # fmt: skip
SEED_BODY = body_of(
    client={"id": "5f1c", "seq": 1},
    service="shop",
    functions={"GET /": GOOD, "b": changed(errors=1)},
    durations={"GET /": [0.25, 0.1]},
    samples=[{"function_name": "c", "duration": 0.25, "error": True}],
    span_seconds=1.0,
    dropped=1,
)

numbers = st.one_of(
    st.integers(-2, 10),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([7900, 7979, 8012, 90_000_000, 300_000_000, 600_000_000, 2**40, 2**62, 2**63]),
)
scalars = st.none() | st.booleans() | numbers | st.text(st.characters(), max_size=5)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner), max_leaves=6
)
items = st.fixed_dictionaries({}, optional={name: st.just(value) | anything for name, value in GOOD.items()})
full_items = st.fixed_dictionaries({name: st.just(value) | anything for name, value in GOOD.items()})
samples = st.fixed_dictionaries(
    {}, optional={"function_name": scalars, "duration": numbers | anything, "error": st.booleans() | anything}
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "client": st.fixed_dictionaries({"id": st.text(max_size=3) | anything, "seq": numbers}) | anything,
        "service": st.text(max_size=5) | anything,
        "version": scalars,
        "functions": st.dictionaries(st.text(max_size=3), full_items | items | anything, max_size=4) | anything,
        "durations": st.dictionaries(st.text(max_size=3), st.lists(numbers | anything, max_size=4), max_size=4),
        "samples": st.lists(samples | anything, max_size=4) | anything,
        "span_seconds": numbers,
        "dropped": numbers | anything,
        "final": st.booleans() | anything,
        "new": anything,
    },
)


@settings(bounded, max_examples=scaled(80, full=800))
@given(st.binary(max_size=100) | st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_batch_or_refused(body: bytes) -> None:
    """Random bytes and texts never do anything else."""
    decode_or_refuse(body)


@settings(bounded, max_examples=scaled(50, full=500))
@given(bodies | anything)
@example({"durations": {"a": [-0.0, 1]}})
@example({"durations": {"a": [5e-324, 1.4e-9, 1e-9]}})
@example({"functions": {"a": {**GOOD, "buckets": []}}, "samples": [{"duration": 1, "function_name": "a"}]})
def test_any_json_is_a_batch_or_refused(body: Any) -> None:
    """Bodies that are nearly right in any number of ways never do anything else."""
    decode_or_refuse(json.dumps(body).encode())


@pytest.mark.parametrize("round_", range(10))
def test_any_damage_to_a_good_body_gives_a_batch_or_is_refused(round_: int) -> None:
    """A good body with bytes flipped, cut out, doubled or replaced by hostile tokens never does anything else."""
    chance = random.Random(round_)
    for _ in range(60):
        body = bytearray(SEED_BODY)
        for _ in range(chance.randint(1, 3)):
            start = chance.randrange(len(body))
            end = min(len(body), start + chance.choice((0, 1, 1, 2, 8)))
            token = chance.choice((*HOSTILE_TOKENS, chance.randbytes(1), bytes(body[start : start + 30])))
            body[start:end] = token
        decode_or_refuse(bytes(body))
    decode_or_refuse(SEED_BODY)


def test_hostile_tokens_in_place_of_every_value_are_refused_or_rejected() -> None:
    """Each value of a good body replaced by each hostile token never does anything else."""
    values = [b"17", b'"shop"', b"600000000", b"0.25", b"true", b"[7900, 7979, 8012]", b"7900", b'"c"', b"1.0"]
    for value in values:
        for token in HOSTILE_TOKENS:
            decode_or_refuse(SEED_BODY.replace(value, token, 1))
