import json

from hypothesis import given, settings
from hypothesis import strategies as st

from chronoprof_sidecar.client.batches import MAX_BODY_BYTES, Sender, pack
from chronoprof_sidecar.client.books import Losses
from chronoprof_sidecar.client.delta import Delta, Series
from chronoprof_sidecar.client.folding import aggregate_samples
from chronoprof_sidecar.protocol import clean_name
from chronoprof_sidecar.wire.batches import decode_batch
from tests.scale import scaled

SENDER = Sender("shop", "2026.11", "web-1:412")
Samples = dict[tuple[str, int], list[float]]

series = st.tuples(st.text(max_size=600).map(clean_name), st.sampled_from([1, 10]))
measured = st.dictionaries(series, st.lists(st.floats(0.0, 1e5).map(abs), min_size=1, max_size=20), min_size=1)


def delta_of(samples: Samples) -> Delta:
    delta = Delta()
    for (name, sample_every), durations in samples.items():
        aggregate, _ = aggregate_samples(durations, failed=False)
        assert aggregate is not None
        delta.add(Series(name, sample_every), aggregate)
    return delta


def bodies_of(delta: Delta, limit_bytes: int = MAX_BODY_BYTES) -> list[bytes]:
    bodies: list[bytes] = []
    while delta:
        batch = pack(delta, limit_bytes=limit_bytes, span_seconds=1.0)
        bodies.append(batch.encode(SENDER, "id", len(bodies) + 1))
    return bodies


@settings(deadline=None, max_examples=scaled(30, full=300))
@given(measured)
def test_the_sidecar_reads_what_was_measured(samples: Samples) -> None:
    """Whatever was measured under whatever names, the sidecar's own decoder takes every item and counts every call."""
    decoded = [decode_batch(body) for body in bodies_of(delta_of(samples))]

    assert [] == [error for batch in decoded for error in batch.errors]
    assert sum(every * len(durations) for (_, every), durations in samples.items()) == sum(b.calls for b in decoded)
    names = [item.function_name for batch in decoded for item in batch.items]
    assert sorted(name for name, _ in samples) == sorted(names)


def test_bodies_stay_within_their_limit() -> None:
    """Thousands of functions are split into bodies within the limit, and none is lost."""
    delta = delta_of({(f"shop.module.function_{i}", 1): [0.001 * j for j in range(1, 60)] for i in range(2000)})

    bodies = bodies_of(delta)

    assert 1 < len(bodies)
    assert max(map(len, bodies)) <= MAX_BODY_BYTES
    assert 2000 == len({name for body in bodies for name in json.loads(body)["functions"]})


def test_an_item_beyond_the_limit_travels_alone() -> None:
    """A limit smaller than any item still lets one item at a time through."""
    delta = delta_of({("a", 1): [0.1], ("b", 1): [0.2]})

    assert [1, 1] == [len(json.loads(body)["functions"]) for body in bodies_of(delta, limit_bytes=10)]


def test_the_envelope_says_who_sends_and_what_was_lost() -> None:
    """A body names its sender and sequence number, its span, its losses and that it is the last."""
    batch = pack(Delta(), limit_bytes=MAX_BODY_BYTES, span_seconds=2.0)
    batch.losses = Losses(dropped=1, rejected=2, unknown=3)
    batch.final = True

    decoded = decode_batch(batch.encode(SENDER, "5f1c", 17))

    assert ("5f1c", 17) == decoded.client
    assert ("shop", "2026.11") == decoded.labels
    assert ("web-1:412", 2.0, 1, 2, 3, True) == (
        decoded.instance,
        decoded.span_seconds,
        decoded.dropped,
        decoded.rejected,
        decoded.unknown,
        decoded.final,
    )


def test_what_is_empty_is_left_out() -> None:
    """Labels and losses that say nothing are not sent."""
    batch = pack(delta_of({("a", 1): [0.1]}), limit_bytes=MAX_BODY_BYTES, span_seconds=0.0)

    body = json.loads(batch.encode(Sender("", "", "host:1"), "id", 1))

    assert {"client", "instance", "span_seconds", "functions"} == body.keys()
    assert "sample_every" not in body["functions"]["a"]
