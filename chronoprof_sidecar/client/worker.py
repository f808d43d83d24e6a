"""The flush thread: folds about every 50 ms, sends about every second, and lets others wait for it.

Owns the thread and its wake-ups. Must not know how folding or sending works, nor what starts it again after its end.

The thread is started without `threading` and woken through bare locks: the classes of `threading` hold locks in Python
code, and a signal handler or a destructor that starts or wakes this thread may have interrupted their holder.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Final

from chronoprof_sidecar.client.native import get_thread_id, make_lock, start_thread
from chronoprof_sidecar.client.patience import TICK_SECONDS
from chronoprof_sidecar.client.pipeline import Pipeline

logger = logging.getLogger(__name__)

_WORTH_FOLDING: Final = 1024
"""Samples in a buffer that are folded at the next tick; fewer wait for the next flush, since folding many at once costs
less for each."""


class _Bell:
    """Wakes one sleeper; ringing never blocks and may be done from anywhere."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = make_lock()
        self._lock.acquire()

    def ring(self) -> None:
        try:
            self._lock.release()
        except RuntimeError:  # it has rung already
            return

    def wait(self, seconds: float) -> bool:
        return self._lock.acquire(timeout=max(0.0, seconds))


class _Waiter:
    """Somebody who waits until everything recorded so far is settled."""

    __slots__ = ("done", "lost_before", "nothing_lost", "round")

    def __init__(self, lost_before: int) -> None:
        self.done = _Bell()
        self.round: int | None = None
        self.lost_before = lost_before
        self.nothing_lost = False


class Worker:
    """The flush thread of one process: at most one at a time, any number one after another.

    `on_start` and `on_end` are called in the thread.
    """

    def __init__(
        self, pipeline: Pipeline, interval_seconds: float, *, on_start: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        self._pipeline = pipeline
        self._interval_seconds = interval_seconds
        self._on_start = on_start
        self._on_end = on_end
        self._bell = _Bell()
        self._ended = _Bell()
        self._starting = make_lock()
        self._waiters: list[_Waiter] = []
        self._fold_all_at = 0.0
        self._closing_until: float | None = None
        self._thread_id: int | None = None
        self._alive = False

    def is_alive(self) -> bool:
        """Say whether a flush thread looks after the buffers."""
        return self._alive

    def start(self) -> bool:
        """Start the thread unless it lives; say whether it does now."""
        if not self._starting.acquire(blocking=False):
            return self._alive
        try:
            if not self._alive:
                self._closing_until = None
                self._ended = _Bell()
                self._alive = True
                start_thread(self._run, ())
        except (RuntimeError, MemoryError):
            self._alive = False
        finally:
            self._starting.release()
        return self._alive

    def flush(self, timeout: float) -> bool:
        """Wait until everything recorded so far is settled; say whether it is, and nothing was lost meanwhile."""
        if self._thread_id == get_thread_id():
            return False  # a log handler or a destructor in the flush thread itself: waiting would be for ever
        waiter = self._enlist()
        if waiter.done.wait(timeout):
            return waiter.nothing_lost
        self._dismiss(waiter)
        return False

    def close(self, timeout: float) -> bool:
        """Send everything and a farewell, and end the thread; say whether all was settled in time."""
        if self._thread_id == get_thread_id():
            return False
        deadline = time.monotonic() + timeout
        waiter = _Waiter(self._pipeline.lost)
        self._closing_until = deadline
        self._enlist()
        ended = self._ended.wait(timeout)
        return ended and self._pipeline.is_settled() and self._pipeline.lost == waiter.lost_before

    def _enlist(self) -> _Waiter:
        waiter = _Waiter(self._pipeline.lost)
        self._waiters.append(waiter)
        self._bell.ring()
        return waiter

    def _dismiss(self, waiter: _Waiter) -> None:
        with contextlib.suppress(ValueError):  # the other side may have been faster
            self._waiters.remove(waiter)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._thread_id = get_thread_id()
        try:
            self._on_start()
            while True:
                self._bell.wait(TICK_SECONDS)
                self._cycle()
                if self._is_over():
                    break
        except BaseException:
            logger.exception("the flush thread ended; the next timed call starts another")
        finally:
            self._end()

    def _end(self) -> None:
        self._pipeline.hang_up()
        self._thread_id = None
        self._alive = False
        self._on_end()
        while self._waiters:
            self._waiters.pop().done.ring()
        self._ended.ring()

    def _is_over(self) -> bool:
        """Say whether the thread was told to end, and has nothing left to do or no time to do it."""
        until = self._closing_until
        if until is None:
            return False
        return time.monotonic() >= until or self._pipeline.is_settled() or not self._pipeline.is_due_by(until)

    def _cycle(self) -> None:
        waiters = list(self._waiters)
        closing = self._closing_until is not None
        self._fold(everything=bool(waiters) or closing or self._pipeline.is_due())
        if waiters or closing:
            self._hurry(waiters)
        self._pipeline.send(final=closing, idle=self._idle)
        for waiter in waiters:
            if waiter.round is not None and self._pipeline.rounds_done >= waiter.round:
                waiter.nothing_lost = self._pipeline.lost == waiter.lost_before
                self._dismiss(waiter)
                waiter.done.ring()

    def _fold(self, *, everything: bool) -> None:
        now = time.monotonic()
        if everything or now >= self._fold_all_at:
            self._fold_all_at = now + self._interval_seconds
            self._pipeline.fold()
        else:
            self._pipeline.fold(at_least=_WORTH_FOLDING)

    def _hurry(self, waiters: list[_Waiter]) -> None:
        """Make the next request due for those who wait: at once for a new one, then at the pace of the retries."""
        arrived = [waiter for waiter in waiters if waiter.round is None]
        for waiter in arrived:
            waiter.round = self._pipeline.round_of_all()
        if arrived or not self._pipeline.failing:
            self._pipeline.hurry()

    def _idle(self) -> None:
        """Do what can be done while a request is under way."""
        if self._closing_until is not None and time.monotonic() >= self._closing_until:
            raise TimeoutError("the process ends")
        self._fold(everything=False)
