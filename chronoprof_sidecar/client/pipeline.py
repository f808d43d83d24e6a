"""From full buffers to acknowledged batches: fold, send, and know where every call is.

Owns the delivery, the transport, and the lock that makes the books agree at every moment. Must not know who drives it:
the flush thread, or the app itself where no thread can run. Application threads never wait for this lock to record;
`stats()` alone asks for it.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from chronoprof_sidecar.client.batches import Sender
from chronoprof_sidecar.client.buffers import MAX_NAMES, Registry, Slot
from chronoprof_sidecar.client.delivery import Delivery
from chronoprof_sidecar.client.delta import Series
from chronoprof_sidecar.client.folding import aggregate_samples
from chronoprof_sidecar.client.notices import Notices
from chronoprof_sidecar.client.pace import Pace
from chronoprof_sidecar.client.settings import ClientSettings
from chronoprof_sidecar.client.stats import Stats
from chronoprof_sidecar.client.transport import TOTAL_SECONDS, NoAnswerError, Transport
from chronoprof_sidecar.protocol import clean_label

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 1_000_000
"""Bound on the samples of one buffer, 32 MB: only a folder that gets no time to run lets one grow so far."""
SLICE: Final = 4096
"""Samples folded between two yields: 1 ms of waiting for other threads, where half a million took 18."""
_TAKEN: Final = 8 * SLICE
"""Samples taken from a buffer at once: taking from the front of a long list moves its rest."""
_STATS_WAIT_SECONDS: Final = 0.5


def _no_work() -> None:
    """Idle for those who have nothing else to do."""


class Pipeline:
    """One process's way from samples to the sidecar."""

    def __init__(self, settings: ClientSettings, registry: Registry, jitter: Callable[[], float]) -> None:
        now = time.monotonic()
        self._settings = settings
        self._registry = registry
        self._lock = Lock()
        self._sending = Lock()
        self._transport = Transport(settings.endpoint)
        self._key = settings.api_key
        self._key_refused = False
        instance = clean_label(f"{socket.gethostname()}:{os.getpid()}")
        self._delivery = Delivery(
            Sender(settings.service, settings.version, instance),
            pace=Pace(settings.flush_interval_seconds, jitter, now),
            new_id=lambda: os.urandom(16).hex(),
            now=now,
        )
        self.notices = Notices(str(settings.endpoint))

    # --- folding ----------------------------------------------------------------------------------------------------

    def fold(self, at_least: int = 1, *, blocking: bool = True) -> None:
        """Fold every buffer that holds at least so many samples.

        Whoever may have interrupted a fold of its own thread does not block: it leaves the samples where they are.
        """
        for slot in self._registry.everything():
            for buffer in (slot.successes, slot.failures):
                if len(buffer) >= at_least:
                    self._fold_buffer(slot, buffer, blocking=blocking)

    def _fold_buffer(self, slot: Slot, buffer: list[float], *, blocking: bool) -> None:
        """Fold what the buffer holds now, not what comes in meanwhile."""
        waiting = len(buffer)
        while waiting > 0 and self._lock.acquire(blocking):
            try:
                dropped = self._drop_excess(slot, buffer)
                taken = buffer[: min(waiting, _TAKEN)]
                del buffer[: len(taken)]
                dropped += self._take(slot, taken, failed=buffer is slot.failures)
            finally:
                self._lock.release()
            waiting = waiting - len(taken) if taken else 0
            if dropped:
                self.notices.dropped(dropped, self._why_dropped(slot))

    def _drop_excess(self, slot: Slot, buffer: list[float]) -> int:
        excess = len(buffer) - MAX_WAITING
        if excess <= 0:
            return 0
        del buffer[:excess]
        self._delivery.drop(excess * slot.sample_every)
        return excess

    def _take(self, slot: Slot, taken: list[float], *, failed: bool) -> int:
        """Hand samples over to the delivery; return how many could only be dropped."""
        if slot is self._registry.refused:
            self._delivery.drop(len(taken))
            return len(taken)
        series = Series(slot.name, slot.sample_every)
        dropped = 0
        for start in range(0, len(taken), SLICE):
            if start:
                time.sleep(0)  # let the app's threads run
            aggregate, invalid = aggregate_samples(taken[start : start + SLICE], failed=failed)
            if aggregate is not None:
                self._delivery.take(series, aggregate)
            self._delivery.drop(series.calls_of(invalid))
            dropped += invalid
        return dropped

    def _why_dropped(self, slot: Slot) -> str:
        if slot is not self._registry.refused:
            return f"over {MAX_WAITING} samples of one function waited to be folded, or a clock jumped"
        if self._registry.full:
            return f"there are more than {MAX_NAMES} names"
        return "a duration is a number of seconds from 0 to ten days, and a name is a string"

    # --- sending ----------------------------------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Say whether it is time to send."""
        return self.is_due_by(time.monotonic())

    @property
    def failing(self) -> bool:
        """Say whether the last request brought no delivery."""
        return self._delivery.pace.failing

    def is_due_by(self, moment: float) -> bool:
        """Say whether a request may be sent at that time (`time.monotonic`)."""
        return self._delivery.pace.is_due(moment)

    def hurry(self) -> None:
        """Make a request due, unless the sidecar itself asked to wait."""
        self._delivery.pace.hurry(time.monotonic())

    def send(self, *, final: bool = False, seconds: float = TOTAL_SECONDS, idle: Callable[[], None] = _no_work) -> None:
        """Send what is due, batch by batch, until nothing is or an answer fails to come. Does not fold.

        `seconds` bounds each request. Returns at once where another thread is sending.
        """
        if not self._sending.acquire(blocking=False):
            return
        try:
            while (body := self._next_body(final=final)) is not None:
                self._exchange(body, seconds, idle)
        finally:
            self._sending.release()

    def drain(self, timeout: float, *, final: bool = False) -> bool:
        """Fold and send everything in the calling thread; say whether all of it was acknowledged in time."""
        deadline = time.monotonic() + timeout
        lost_before = self.lost
        self.fold()
        goal = self.round_of_all()
        while self.rounds_done < goal or (final and self._delivery.owes_farewell):
            remaining = deadline - time.monotonic()
            self.hurry()
            if remaining <= 0 or not self.is_due():
                return False
            self.send(final=final, seconds=remaining)
            if self.failing or self._sending.locked():
                return False
        return self.lost == lost_before

    def _next_body(self, *, final: bool) -> bytes | None:
        with self._lock:
            return self._delivery.next_body(time.monotonic(), final=final)

    def _exchange(self, body: bytes, seconds: float, idle: Callable[[], None]) -> None:
        if self._key_refused:
            self._key = self._settings.current_key()
        try:
            answer = self._transport.post(body, key=self._key, seconds=seconds, idle=idle)
        except NoAnswerError as error:
            with self._lock:
                self._delivery.unanswered(time.monotonic(), sent=error.sent)
            self.notices.unanswered(str(error))
            return
        with self._lock:
            verdict = self._delivery.answered(answer, time.monotonic())
        self._key_refused = answer.status in (401, 403)
        self.notices.answered(verdict, answer)

    def hang_up(self) -> None:
        """Close the connection; the next request opens another."""
        self._transport.close()

    def abandon(self) -> None:
        """Let go of the parent's connection in a forked child; nothing here may be used afterwards."""
        self._transport.abandon()

    # --- where every call is ----------------------------------------------------------------------------------------

    def round_of_all(self) -> int:
        """Return the number of the round that settles everything folded so far."""
        return self._delivery.round_of_all()

    @property
    def rounds_done(self) -> int:
        """Number of rounds that are settled."""
        return self._delivery.rounds_done

    @property
    def lost(self) -> int:
        """Calls that ended otherwise than acknowledged, so far."""
        return self._delivery.books.lost

    def is_settled(self) -> bool:
        """Say whether nothing is left to send, a farewell included."""
        return not (self._delivery.held or self._delivery.owes_farewell or self._registry.waiting())

    def stats(self) -> Stats:
        """Return the law's figures as of one moment."""
        # A signal handler may ask while the very thread that it interrupted holds the lock: then do without.
        locked = self._lock.acquire(timeout=_STATS_WAIT_SECONDS)
        try:
            books = self._delivery.books
            waiting = self._waiting_calls()
            return Stats(
                recorded=books.recorded + waiting,
                acknowledged=books.acknowledged,
                rejected=books.rejected,
                dropped=books.dropped,
                unknown=books.unknown,
                buffered=self._delivery.held + waiting,
                connected=self.notices.connected,
            )
        finally:
            if locked:
                self._lock.release()

    def _waiting_calls(self) -> int:
        return sum(
            (len(slot.successes) + len(slot.failures)) * slot.sample_every for slot in self._registry.everything()
        )
