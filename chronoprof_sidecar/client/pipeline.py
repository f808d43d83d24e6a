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
from typing import Final

from chronoprof_sidecar.client.batches import Sender
from chronoprof_sidecar.client.buffers import MAX_NAMES, Registry, Slot
from chronoprof_sidecar.client.delivery import Delivery
from chronoprof_sidecar.client.delta import Series
from chronoprof_sidecar.client.folding import aggregate_samples
from chronoprof_sidecar.client.native import make_lock, sleep
from chronoprof_sidecar.client.notices import Notices
from chronoprof_sidecar.client.pace import Pace
from chronoprof_sidecar.client.settings import ClientSettings
from chronoprof_sidecar.client.stats import Stats
from chronoprof_sidecar.client.transport import TOTAL_SECONDS, NoAnswerError, Transport
from chronoprof_sidecar.protocol import clean_label

logger = logging.getLogger(__name__)

HELP_FROM: Final = 250_000
"""Samples in one buffer, 8 MB, from which the threads that fill it fold slices of it themselves. Only threads that do
nothing but call tiny functions get there: they leave the flush thread too little of the interpreter."""
SLICE: Final = 4096
"""Samples folded in one go, 0.4 ms: half a million at once would keep other threads waiting for 18 ms."""
_TURN_SECONDS: Final = 0.004
"""Folding that goes on for so long lets others run. Any less, and a folder that has to win the interpreter back from a
busy thread each time falls behind it."""
_STATS_WAIT_SECONDS: Final = 0.5


def _no_work() -> None:
    """Idle for those who have nothing else to do."""


class Pipeline:
    """One process's way from samples to the sidecar."""

    def __init__(self, settings: ClientSettings, registry: Registry, jitter: Callable[[], float]) -> None:
        now = time.monotonic()
        self._settings = settings
        self._registry = registry
        self._lock = make_lock()
        self._sending = make_lock()
        self._transport = Transport(settings.endpoint)
        self._key = settings.api_key
        self._key_refused = False
        self._turn_began = now
        # Calls taken from buffers and on their way through the arithmetic.
        self._calls_in_hand = 0
        instance = clean_label(f"{socket.gethostname()}:{os.getpid()}")
        self._delivery = Delivery(
            Sender(settings.service, settings.version, instance),
            pace=Pace(settings.flush_interval_seconds, jitter, now),
            new_id=lambda: os.urandom(16).hex(),
            now=now,
        )
        self.notices = Notices(str(settings.endpoint))

    # --- folding ----------------------------------------------------------------------------------------------------

    def fold(self, at_least: int = 1) -> None:
        """Fold every buffer that holds at least so many samples, as far as it is filled now."""
        self._turn_began = time.monotonic()
        for slot in self._registry.everything():
            for buffer in (slot.successes, slot.failures):
                waiting = len(buffer)
                if waiting >= HELP_FROM:
                    self._registry.call_for_help(slot)
                if waiting >= at_least:
                    self._fold_buffer(slot, buffer, waiting)

    def fold_slice(self, slot: Slot) -> None:
        """Fold one slice of a slot in the thread of a caller who may have interrupted a holder of the lock.

        Where the lock is taken, the samples stay where they are.
        """
        buffer = max(slot.successes, slot.failures, key=len)
        if self._lock.acquire(blocking=False):
            try:
                taken = self._take_slice(slot, buffer)
            finally:
                self._lock.release()
            self._fold_taken(slot, taken, failed=buffer is slot.failures)

    def _fold_buffer(self, slot: Slot, buffer: list[float], waiting: int) -> None:
        while waiting > 0:
            with self._lock:
                taken = self._take_slice(slot, buffer)
            self._fold_taken(slot, taken, failed=buffer is slot.failures)
            waiting = waiting - len(taken) if taken else 0
            if time.monotonic() - self._turn_began >= _TURN_SECONDS:
                sleep(0)  # let the app's threads run
                self._turn_began = time.monotonic()

    def _take_slice(self, slot: Slot, buffer: list[float]) -> list[float]:
        taken = buffer[:SLICE]
        del buffer[: len(taken)]
        self._calls_in_hand += len(taken) * slot.sample_every
        return taken

    def _fold_taken(self, slot: Slot, taken: list[float], *, failed: bool) -> None:
        """Aggregate outside the lock, so that it is never held for long, and hand over to the delivery."""
        aggregate, invalid = None, len(taken)
        try:
            if taken and slot is not self._registry.refused:
                aggregate, invalid = aggregate_samples(taken, failed=failed)
        finally:
            with self._lock:
                self._calls_in_hand -= len(taken) * slot.sample_every
                self._delivery.drop(invalid * slot.sample_every)
                if aggregate is not None:
                    self._delivery.take(Series(slot.name, slot.sample_every), aggregate)
        if invalid:
            self.notices.dropped(invalid, self._why_dropped(slot))

    def _why_dropped(self, slot: Slot) -> str:
        if slot is self._registry.refused and self._registry.full:
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
            self._key = self._settings.current_key(self._key)
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
        return self._delivery.round_of_all() + (1 if self._calls_in_hand else 0)

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
        held = self._delivery.held or self._calls_in_hand or self._registry.waiting()
        return not (held or self._delivery.owes_farewell)

    def stats(self) -> Stats:
        """Return the law's figures as of one moment."""
        # A signal handler may ask while the very thread that it interrupted holds the lock: then do without.
        locked = self._lock.acquire(timeout=_STATS_WAIT_SECONDS)
        try:
            books = self._delivery.books
            waiting = self._waiting_calls() + self._calls_in_hand
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
