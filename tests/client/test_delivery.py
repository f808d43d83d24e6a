import json
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chronoprof_sidecar.client.batches import Sender
from chronoprof_sidecar.client.delivery import ALIVE_SECONDS, UNKNOWN_AFTER_SECONDS, Answer, Delivery, Verdict
from chronoprof_sidecar.client.delta import Series
from chronoprof_sidecar.client.folding import aggregate_samples
from chronoprof_sidecar.client.pace import Pace
from chronoprof_sidecar.wire.batches import decode_batch
from tests.client.scripted import ScriptedSidecar
from tests.scale import scaled

LONG = 1e6
"""Seconds after which anything is due that ever will be."""


def make_delivery() -> Delivery:
    ids = (f"id-{number}" for number in count(1))
    return Delivery(Sender("", "", "host:1"), pace=Pace(1.0, lambda: 0.5, 0.0), new_id=lambda: next(ids), now=0.0)


def measure(delivery: Delivery, *names: str, calls: int = 3) -> None:
    for name in names:
        aggregate, _ = aggregate_samples([0.1] * calls, failed=False)
        assert aggregate is not None
        delivery.take(Series(name, 1), aggregate)


def law(delivery: Delivery) -> tuple[int, int]:
    books = delivery.books
    return books.recorded, books.acknowledged + books.rejected + books.dropped + books.unknown + delivery.held


def take_body(delivery: Delivery, now: float, *, final: bool = False) -> bytes:
    body = delivery.next_body(now, final=final)
    assert body is not None
    return body


def envelope(body: bytes) -> tuple[str, int]:
    client = json.loads(body)["client"]
    return client["id"], client["seq"]


def acknowledge(body: bytes, accepted: int | None = None, **changes: object) -> Answer:
    batch = json.loads(body)
    calls = sum(item["calls"] for item in batch.get("functions", {}).values())
    answer = {"accepted": calls if accepted is None else accepted, "client": batch["client"], "duplicate": False}
    return Answer(200, json.dumps(answer | changes).encode())


@pytest.fixture
def sent() -> Iterator[tuple[Delivery, bytes]]:
    """A delivery whose first batch, of two functions and six calls, waits for its answer at second 10."""
    delivery = make_delivery()
    measure(delivery, "a", "b")
    yield delivery, take_body(delivery, 10.0)
    recorded, found = law(delivery)
    assert recorded == found


Sent = tuple[Delivery, bytes]


def test_acknowledged(sent: Sent) -> None:
    """200 with the echo of id and seq: the calls are acknowledged, and the next batch has the next number."""
    delivery, body = sent

    assert Verdict.ACKNOWLEDGED is delivery.answered(acknowledge(body), 10.0)

    assert (6, 0) == (delivery.books.acknowledged, delivery.held)
    measure(delivery, "a")
    assert ("id-1", 2) == envelope(take_body(delivery, LONG))


def test_calls_not_accepted_are_rejected_and_reported(sent: Sent) -> None:
    """What a 200 leaves out is booked as rejected, and the next batch tells the sidecar so."""
    delivery, body = sent

    delivery.answered(acknowledge(body, accepted=4), 10.0)

    assert (4, 2) == (delivery.books.acknowledged, delivery.books.rejected)
    report = json.loads(take_body(delivery, LONG))
    assert (2, None) == (report["rejected"], report.get("functions"))


def test_an_old_duplicate_is_acknowledged(sent: Sent) -> None:
    """A duplicate whose figures the sidecar has forgotten was counted."""
    delivery, _ = sent
    forgotten = {"accepted": None, "client": {"id": "id-1", "seq": 1}, "duplicate": True}

    assert Verdict.ACKNOWLEDGED is delivery.answered(Answer(200, json.dumps(forgotten).encode()), 10.0)
    assert 6 == delivery.books.acknowledged


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: Answer(200, b"<html>"),
        lambda _: Answer(200, b"\xff\xfe"),
        lambda _: Answer(200, b"[" * 100_000),
        lambda _: Answer(200, b"[]"),
        lambda _: Answer(200, b'{"accepted": 6}'),
        lambda body: acknowledge(body, client={"id": "other", "seq": 1}),
        lambda body: acknowledge(body, client={"id": "id-1", "seq": 2}),
        lambda body: acknowledge(body, accepted=7),
        lambda body: acknowledge(body, accepted=-1),
        lambda body: acknowledge(body, accepted=True),
        lambda _: Answer(204, b""),
        lambda _: Answer(500, b""),
        lambda _: Answer(503, b"", 1.0),
        lambda _: Answer(408, b""),
        lambda _: Answer(429, b""),
    ],
)
def test_the_same_bytes_again(sent: Sent, forge: Callable[[bytes], Answer]) -> None:
    """5xx, 408, 429, and a 200 that is not ours: the very same bytes are sent again."""
    delivery, body = sent

    assert Verdict.UNAVAILABLE is delivery.answered(forge(body), 10.0)

    assert delivery.next_body(10.0) is None
    measure(delivery, "a")
    assert body == take_body(delivery, UNKNOWN_AFTER_SECONDS)


@pytest.mark.parametrize("arrived", [True, False])
def test_no_answer(sent: Sent, arrived: bool) -> None:
    """Without an answer the very same bytes are sent again."""
    delivery, body = sent

    delivery.unanswered(10.0, sent=arrived)

    assert body == take_body(delivery, 80.0)


@pytest.mark.parametrize("status", [400, 415])
def test_rejected(sent: Sent, status: int) -> None:
    """400 and 415: the calls are rejected, and the next batch takes the same number."""
    delivery, _ = sent

    assert Verdict.REJECTED is delivery.answered(Answer(status, b""), 10.0)

    assert (6, 0) == (delivery.books.rejected, delivery.held)
    report = take_body(delivery, LONG)
    assert ("id-1", 1) == envelope(report)
    assert 6 == json.loads(report)["rejected"]


def test_too_large_is_split_by_function(sent: Sent) -> None:
    """413: the functions travel one by one under their own numbers, starting with the same one."""
    delivery, _ = sent

    assert Verdict.AGAIN is delivery.answered(Answer(413, b""), 10.0)

    numbers, names = [], []
    for _ in range(2):
        part = take_body(delivery, 10.0)
        numbers.append(envelope(part))
        names += json.loads(part)["functions"]
        delivery.answered(acknowledge(part), 10.0)
    assert [("id-1", 1), ("id-1", 2)] == numbers
    assert ["a", "b"] == sorted(names)
    assert 6 == delivery.books.acknowledged


def test_a_split_reports_losses_again() -> None:
    """What the batch that was too large was to report, its first part reports."""
    delivery = make_delivery()
    measure(delivery, "a", "b")
    delivery.drop(5)
    take_body(delivery, 10.0)

    delivery.answered(Answer(413, b""), 10.0)

    assert 5 == json.loads(take_body(delivery, 10.0))["dropped"]


def test_one_function_that_is_too_large_is_rejected(sent: Sent) -> None:
    """413 for a single function: nothing can be split, so its calls are rejected and the others go on."""
    delivery, _ = sent
    delivery.answered(Answer(413, b""), 10.0)
    take_body(delivery, 10.0)

    assert Verdict.REJECTED is delivery.answered(Answer(413, b""), 10.0)

    assert (3, 3) == (delivery.books.rejected, delivery.held)


@pytest.mark.parametrize("status", [409, 422])
def test_a_new_id(sent: Sent, status: int) -> None:
    """409 and 422: the same delta goes out at once as the first batch of a new id."""
    delivery, body = sent

    assert Verdict.AGAIN is delivery.answered(Answer(status, b""), 10.0)

    again = take_body(delivery, 10.0)
    assert ("id-2", 1) == envelope(again)
    assert json.loads(body)["functions"] == json.loads(again)["functions"]


def test_new_ids_are_not_tried_in_a_rush(sent: Sent) -> None:
    """A server that knows no id whatever is retried at the pace of failures."""
    delivery, _ = sent
    delivery.answered(Answer(409, b""), 10.0)
    take_body(delivery, 10.0)

    assert Verdict.UNAVAILABLE is delivery.answered(Answer(409, b""), 10.0)

    assert delivery.next_body(10.0) is None


@pytest.mark.parametrize("status", [301, 307, 401, 403, 404, 405, 410, 421])
def test_refused(sent: Sent, status: int) -> None:
    """A wrong key or URL: everything is kept, and tried again after a minute at the earliest."""
    delivery, body = sent

    assert Verdict.REFUSED is delivery.answered(Answer(status, b""), 10.0)

    assert delivery.next_body(69.0) is None
    assert body == take_body(delivery, LONG)


def test_unknown_after_a_day(sent: Sent) -> None:
    """A batch that may have arrived becomes unknown after 24 h; what follows has a new id and says so."""
    delivery, body = sent
    delivery.unanswered(10.0, sent=True)
    delivery.unanswered(5000.0, sent=True)
    assert body == take_body(delivery, 10.0 + UNKNOWN_AFTER_SECONDS - 1.0)

    report = take_body(delivery, 10.0 + UNKNOWN_AFTER_SECONDS)

    assert (6, 0) == (delivery.books.unknown, delivery.held)
    assert ("id-2", 1) == envelope(report)
    assert 6 == json.loads(report)["unknown"]


@pytest.mark.parametrize("status", [None, 401, 429])
def test_what_never_arrived_never_expires(sent: Sent, status: int | None) -> None:
    """A batch that certainly was not counted is kept for as long as it takes."""
    delivery, body = sent
    if status is None:
        delivery.unanswered(10.0, sent=False)
    else:
        delivery.answered(Answer(status, b""), 10.0)

    assert body == take_body(delivery, 10.0 + 3 * UNKNOWN_AFTER_SECONDS)


@pytest.mark.parametrize("status", [400, 413])
def test_a_batch_in_doubt_is_not_sent_as_another(sent: Sent, status: int) -> None:
    """A batch that an unanswered attempt may have delivered is unknown, not split or rejected: never count twice."""
    delivery, _ = sent
    delivery.unanswered(10.0, sent=True)

    delivery.answered(Answer(status, b""), 80.0)

    assert (6, 0, 0) == (delivery.books.unknown, delivery.books.rejected, delivery.held)


def test_losses_of_a_lost_report_are_reported_again(sent: Sent) -> None:
    """A report of losses that was not acknowledged is made again."""
    delivery, body = sent
    delivery.drop(5)
    delivery.answered(acknowledge(body), 10.0)
    assert 5 == json.loads(take_body(delivery, 20.0))["dropped"]

    delivery.answered(Answer(400, b""), 20.0)

    assert 5 == json.loads(take_body(delivery, LONG))["dropped"]


def test_an_outage_costs_one_delta(sent: Sent) -> None:
    """While a batch waits for its answer, everything measured merges into one delta behind it."""
    delivery, body = sent
    for minute in range(1000):
        delivery.unanswered(60.0 * minute, sent=False)
        measure(delivery, "a", "b")
    delivery.answered(acknowledge(body), 60_000.0)

    following = json.loads(take_body(delivery, LONG))

    assert {"a": 3000, "b": 3000} == {name: item["calls"] for name, item in following["functions"].items()}
    assert following["span_seconds"] > 59_000.0


def test_the_last_batch_says_so(sent: Sent) -> None:
    """The batch that leaves nothing behind is marked as the last, where the process ends."""
    delivery, body = sent
    delivery.answered(acknowledge(body), 10.0)
    measure(delivery, "a")

    last = take_body(delivery, LONG, final=True)
    assert json.loads(last)["final"]
    delivery.answered(acknowledge(last), LONG)

    assert not delivery.owes_farewell


def test_farewell_without_calls(sent: Sent) -> None:
    """A process that has nothing left to send still says that it ends, once, to a sidecar that knows it."""
    delivery, body = sent
    delivery.answered(acknowledge(body), 10.0)

    farewell = take_body(delivery, LONG, final=True)
    assert json.loads(farewell)["final"]
    delivery.answered(acknowledge(farewell), LONG)

    assert delivery.next_body(2 * LONG, final=True) is None


def test_a_process_that_is_not_called_says_that_it_lives(sent: Sent) -> None:
    """Half a minute after its last batch a sender ships one of no calls, and no more often than that; whoever never
    shipped any stays silent."""
    delivery, body = sent
    delivery.answered(acknowledge(body), 10.0)
    assert delivery.next_body(10.0 + ALIVE_SECONDS - 1) is None

    alive = take_body(delivery, 10.0 + ALIVE_SECONDS)
    decoded = decode_batch(alive)

    assert (("id-1", 2), 0, False) == (envelope(alive), decoded.calls, decoded.final)
    assert Verdict.ACKNOWLEDGED is delivery.answered(acknowledge(alive), 10.0 + ALIVE_SECONDS)
    assert delivery.next_body(9.0 + 2 * ALIVE_SECONDS) is None
    assert make_delivery().next_body(LONG) is None


def test_nothing_to_say() -> None:
    """Where nothing was measured nothing is sent, not even a farewell."""
    assert make_delivery().next_body(LONG, final=True) is None


def test_an_answer_to_nothing_is_a_bug() -> None:
    """An answer without a request is refused loudly."""
    with pytest.raises(RuntimeError, match="needs a request"):
        make_delivery().answered(Answer(200, b""), 0.0)


class DeliveryLaw(RuleBasedStateMachine):
    """Any sequence of calls, answers, silences and restarts, against a server that counts by the rule."""

    def __init__(self) -> None:
        super().__init__()
        self.delivery = make_delivery()
        self.server = ScriptedSidecar()
        self.now = 0.0
        self.forgot = False

    @rule(names=st.sets(st.sampled_from("abcd"), min_size=1), calls=st.integers(1, 50))
    def record(self, names: set[str], calls: int) -> None:
        measure(self.delivery, *names, calls=calls)

    @rule(calls=st.integers(1, 5))
    def drop(self, calls: int) -> None:
        self.delivery.drop(calls)

    @rule(seconds=st.floats(0.0, 2 * UNKNOWN_AFTER_SECONDS))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(arrives=st.booleans(), final=st.booleans())
    def send_in_vain(self, arrives: bool, final: bool) -> None:
        """The connection is cut before or after the server counts."""
        body = self._body(final=final)
        if body is not None:
            if arrives:
                self.server.count(body)
            self.delivery.unanswered(self.now, sent=True)

    @rule()
    def find_nobody(self) -> None:
        if self._body() is not None:
            self.delivery.unanswered(self.now, sent=False)

    @rule(final=st.booleans(), rejected=st.sampled_from([None, "a"]))
    def send(self, final: bool, rejected: str | None) -> None:
        body = self._body(final=final)
        if body is not None:
            self.server.rejected_name = rejected
            reply = self.server.count(body)
            self.delivery.answered(Answer(reply.status, reply.body), self.now)

    @rule(status=st.sampled_from([200, 204, 302, 400, 401, 404, 408, 413, 415, 421, 429, 500, 502, 503]))
    def meet_a_stranger(self, status: int) -> None:
        """Something in between answers, without counting."""
        if self._body() is not None:
            self.delivery.answered(Answer(status, b"<html>", 1.0), self.now)

    @rule()
    def lose_the_senders(self) -> None:
        """The sidecar forgets who sent what: the one case in which a lost answer can no longer be told from a loss."""
        self.server.forget_senders()
        self.forgot = True

    def _body(self, *, final: bool = False) -> bytes | None:
        self.delivery.pace.due_at = self.now
        return self.delivery.next_body(self.now, final=final)

    @invariant()
    def every_call_is_somewhere(self) -> None:
        recorded, found = law(self.delivery)
        assert recorded == found
        assert self.delivery.held >= 0

    @invariant()
    def acknowledged_calls_are_counted_once(self) -> None:
        if self.forgot:
            return
        books, counted = self.delivery.books, self.server.calls.total()
        # Counted beyond what is acknowledged can only be what was given up as unknown, or still waits for its answer.
        assert books.acknowledged <= counted <= books.acknowledged + books.unknown + self.delivery.held

    def teardown(self) -> None:
        """Once the sidecar answers again everything arrives."""
        self.server.rejected_name = None
        for _ in range(200):
            self.now += LONG
            body = self._body()
            if body is None:
                break
            reply = self.server.count(body)
            self.delivery.answered(Answer(reply.status, reply.body), self.now)
        books = self.delivery.books
        assert 0 == self.delivery.held
        assert (books.dropped, books.unknown) <= (self.server.losses["dropped"], self.server.losses["unknown"])


TestDeliveryLaw = DeliveryLaw.TestCase
TestDeliveryLaw.settings = settings(max_examples=scaled(40, full=500), stateful_step_count=30, deadline=None)
