"""The delivery rule: what an answer, or none, does to the batch in flight.

Pure: no socket, no thread, no clock; time comes in as seconds of a monotonic clock. Owns the sender's id and sequence
number, the batch in flight and the delta behind it, and keeps the law

    recorded = acknowledged + rejected + dropped + unknown + buffered

at every moment. Must not know how bytes travel.
"""

import json
from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from chronoprof_sidecar.client.batches import MAX_BODY_BYTES, Batch, Sender, pack
from chronoprof_sidecar.client.books import Books
from chronoprof_sidecar.client.delta import Aggregate, Delta, Series
from chronoprof_sidecar.client.pace import Pace

UNKNOWN_AFTER_SECONDS: Final = 24 * 3600.0
"""A batch that may have arrived is given up after this long; a sidecar remembers its senders for longer."""
ALIVE_SECONDS: Final = 30.0
"""Without a call for so long, a batch of none says that the process lives: silence then means that it does not."""
_SETTLING: Final = frozenset({400, 409, 413, 415, 422})
_RETRYABLE: Final = frozenset({408, 429})


class Answer(NamedTuple):
    """What came back from one request."""

    status: int
    body: bytes
    retry_after_seconds: float | None = None


class Verdict(Enum):
    """What an answer means for the batch that it answers."""

    ACKNOWLEDGED = "counted"
    REJECTED = "will never be counted"
    AGAIN = "same calls, in another batch"
    REFUSED = "a setting is wrong"
    UNAVAILABLE = "not now"


class Delivery:
    """One sender's side of the protocol. One batch in flight; whoever calls makes sure that it is one at a time."""

    def __init__(self, sender: Sender, *, pace: Pace, new_id: Callable[[], str], now: float) -> None:
        self._sender = sender
        self._new_id = new_id
        self._client_id = new_id()
        self._seq = 1
        self._limit_bytes = MAX_BODY_BYTES
        self._renewals = 0
        # What came in since the round began; the round itself; and the batch taken from it.
        self._pending = Delta()
        self._round = Delta()
        self._batch: Batch | None = None
        self._body = b""
        self._since = now
        self._round_span_seconds = 0.0
        # When the batch was first sent without an answer that says it was not counted.
        self._in_doubt_since: float | None = None
        self._greeted = False
        self._spoke_at = now
        self.pace = pace
        self.books = Books()
        self.rounds_begun = 0
        self.rounds_done = 0

    @property
    def held(self) -> int:
        """Calls taken in and not yet settled."""
        return self._pending.calls + self._round.calls + (self._batch.calls if self._batch else 0)

    @property
    def owes_farewell(self) -> bool:
        """Say whether the sidecar knows this sender and has not been told that it ends."""
        return self._greeted

    def take(self, series: Series, aggregate: Aggregate) -> None:
        """Take calls in, to be sent with the next round; the aggregate belongs to the delivery from here on."""
        self.books.recorded += series.calls_of(aggregate.calls)
        self._pending.add(series, aggregate)

    def drop(self, calls: int) -> None:
        """Book calls that were recorded but cannot be kept."""
        self.books.recorded += calls
        self.books.dropped += calls

    def round_of_all(self) -> int:
        """Return the number of the round with whose end everything taken so far is settled."""
        return self.rounds_begun + 1 if self._pending else self.rounds_begun

    def next_body(self, now: float, *, final: bool = False) -> bytes | None:
        """Return the body to send now, the same one until it is answered; None when nothing is due.

        `final` marks the batch that leaves nothing behind as the sender's last.
        """
        if not self.pace.is_due(now):
            return None
        if self._in_doubt_since is not None and now - self._in_doubt_since >= UNKNOWN_AFTER_SECONDS:
            self._give_up(now)
        if self._batch is None and not self._load_batch(now, final=final):
            self._end_round(now)
            return None
        return self._body

    def answered(self, answer: Answer, now: float) -> Verdict:
        """Apply an answer to the batch in flight."""
        batch = self._batch
        if batch is None:
            raise RuntimeError("an answer needs a request")
        status = answer.status
        if status == 200 and (accepted := self._accepted(answer.body, batch)) is not None:
            self._acknowledge(batch, accepted, now)
            return Verdict.ACKNOWLEDGED
        if status in _SETTLING:
            return self._not_as_it_is(batch, status, now)
        if status in _RETRYABLE:
            self.pace.back_off(now, answer.retry_after_seconds)
            return Verdict.UNAVAILABLE
        if 300 <= status < 500:
            self.pace.refused(now)
            return Verdict.REFUSED
        # 5xx (a proxy may say it of a batch that arrived), or a 200 of somebody else.
        self.unanswered(now, sent=True, retry_after_seconds=answer.retry_after_seconds)
        return Verdict.UNAVAILABLE

    def unanswered(self, now: float, *, sent: bool, retry_after_seconds: float | None = None) -> None:
        """No answer came; `sent` says whether any byte may have arrived."""
        if sent and self._in_doubt_since is None:
            self._in_doubt_since = now
        self.pace.back_off(now, retry_after_seconds)

    # --- the batch in flight ----------------------------------------------------------------------------------------

    def _load_batch(self, now: float, *, final: bool) -> bool:
        """Make the next batch, if there is something to send or to say."""
        if not self._round and self._pending:
            self._pending, self._round = self._round, self._pending
            self._round_span_seconds, self._since = now - self._since, now
            self.rounds_begun += 1
        farewell = final and self._greeted
        alive = self._greeted and now - self._spoke_at >= ALIVE_SECONDS
        if not (self._round or self.books.has_unreported() or farewell or alive):
            return False
        self._spoke_at = now
        batch = pack(self._round, limit_bytes=self._limit_bytes, span_seconds=max(0.0, self._round_span_seconds))
        batch.losses = self.books.unreported()
        batch.final = final and not self._round and not self._pending
        self._put_in_flight(batch)
        return True

    def _put_in_flight(self, batch: Batch) -> None:
        self._batch = batch
        self._body = batch.encode(self._sender, self._client_id, self._seq)
        self._in_doubt_since = None

    def _clear_flight(self, now: float) -> None:
        self._batch = None
        self._body = b""
        self._in_doubt_since = None
        self._renewals = 0
        if self._round:
            self.pace.go_on(now)
        else:
            self._end_round(now)

    def _end_round(self, now: float) -> None:
        if not self._pending:
            self._since = now
        self.rounds_done = self.rounds_begun
        self.pace.rest(now)

    # --- what answers do --------------------------------------------------------------------------------------------

    def _accepted(self, body: bytes, batch: Batch) -> int | None:
        """Return the calls that a 200 says were counted; None when it is not this sidecar's answer to this batch."""
        try:
            answer = json.loads(body)
            echoed = answer["client"]["id"] == self._client_id and answer["client"]["seq"] == self._seq
            accepted = answer["accepted"]
            if accepted is None and answer["duplicate"] is True:
                accepted = batch.calls  # counted before, so long ago that the figures are forgotten
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if echoed and type(accepted) is int and 0 <= accepted <= batch.calls:
            return accepted
        return None

    def _acknowledge(self, batch: Batch, accepted: int, now: float) -> None:
        self.books.acknowledged += accepted
        self.books.rejected += batch.calls - accepted
        self._seq += 1
        self._greeted = not batch.final
        self._clear_flight(now)

    def _not_as_it_is(self, batch: Batch, status: int, now: float) -> Verdict:
        """400, 409, 413, 415, 422: this body under this number will never be counted."""
        if status in (409, 422):
            return self._renew(batch, now)
        if self._in_doubt_since is not None:
            # An earlier attempt may have been counted after all. Sending its calls again could count them twice.
            self._give_up(now)
            return Verdict.REJECTED
        if status == 413 and len(batch.items) > 1:
            self._limit_bytes = len(self._body) // 2
            for series, aggregate in batch.items:
                self._round.add(series, aggregate)
            self.books.report_again(batch.losses)
            self._clear_flight(now)
            return Verdict.AGAIN
        self.books.rejected += batch.calls
        self.books.report_again(batch.losses)
        self._clear_flight(now)
        return Verdict.REJECTED

    def _renew(self, batch: Batch, now: float) -> Verdict:
        """The sidecar does not know us, or not like this: the same delta as the first batch of a new sender."""
        self._take_new_id()
        self._put_in_flight(batch)
        self._renewals += 1
        if self._renewals > 1:
            # Whoever refuses a first batch in this way is confused; do not fall into its rhythm.
            self.pace.back_off(now)
            return Verdict.UNAVAILABLE
        self.pace.go_on(now)
        return Verdict.AGAIN

    def _give_up(self, now: float) -> None:
        """Book the batch in flight as unknown. Its number may be used up, so a new id follows."""
        if self._batch is None:
            return
        self.books.unknown += self._batch.calls
        self.books.report_again(self._batch.losses)
        self._take_new_id()
        self._clear_flight(now)

    def _take_new_id(self) -> None:
        self._client_id = self._new_id()
        self._seq = 1
        self._greeted = False
