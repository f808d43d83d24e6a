"""What a profiler runs once it is enabled: registry, pipeline and thread of this process, and how they start anew.

Owns the answers to "nobody looks after this buffer": start the thread, or do its work here. Must not know of
decorators, timers or settings' origins.
"""

import os
import random
import time
from collections.abc import Callable
from typing import Any, Final

from chronoprof_sidecar.client import lifecycle
from chronoprof_sidecar.client.buffers import Registry, Slot
from chronoprof_sidecar.client.instrument import instrument
from chronoprof_sidecar.client.native import make_lock
from chronoprof_sidecar.client.pipeline import HELP_FROM, SLICE, Pipeline
from chronoprof_sidecar.client.settings import ClientSettings
from chronoprof_sidecar.client.stats import Stats
from chronoprof_sidecar.client.timing import Timing
from chronoprof_sidecar.client.worker import Worker

INLINE_REQUEST_SECONDS: Final = 1.0
"""The most that one request may hold an app up that has no thread to send in."""
_START_AGAIN_SECONDS: Final = 1.0


class Engine:
    """The running half of one profiler in one process."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        # Its own generator: the app may have seeded the shared one and count on its sequence.
        self.random = random.Random()  # noqa: S311 - sampling and jitter, not secrets
        self.registry = Registry(
            sample_every=settings.sample_every,
            exclude=settings.exclude,
            rouse=self._rouse,
            random=self.random.random,
        )
        self._begin()

    def _begin(self) -> None:
        """Make what belongs to one process: ids, locks, connection, thread."""
        self._pipeline = Pipeline(self._settings, self.registry, self.random.random)
        self._worker = Worker(
            self._pipeline,
            self._settings.flush_interval_seconds,
            on_start=self.registry.attend,
            on_end=self.registry.arm,
        )
        self._start_not_before = 0.0
        self._watches_exit = False
        self._beginning = make_lock()
        self.threadless = False
        """Whether no thread can run here, so that the app's own calls must do its work."""
        self._pid = os.getpid()

    # --- without a thread -------------------------------------------------------------------------------------------

    def _rouse(self, slot: Slot) -> None:
        """Answer a sample that met a starter; called from anywhere an app may record, signal handlers included."""
        if not self._is_at_home():
            return
        worker = self._worker
        waiting = len(slot.successes) + len(slot.failures)
        if worker.is_alive():
            if waiting >= HELP_FROM // 2:
                self._pipeline.fold_slice(slot)
                return
            slot.attend()
            if not worker.is_alive():  # it ended in between, and may have armed this slot before we disarmed it
                slot.arm(self._rouse)
        elif lifecycle.forks_unseen():
            self._pipeline.notices.left_behind()
            self._pipeline.fold_slice(slot)  # a child takes all that it finds in a buffer for its own
        elif not self._start() and waiting >= SLICE:
            self._pipeline.fold_slice(slot)

    def _start(self) -> bool:
        """Start the thread where one can run; at most one attempt a second."""
        now = time.monotonic()
        if now < self._start_not_before:
            return False
        self._start_not_before = now + _START_AGAIN_SECONDS
        if not self._watches_exit:
            self._watches_exit = True
            lifecycle.close_with_multiprocessing(self)
        self.threadless = not (lifecycle.threads_can_run() and self._worker.start())
        if self.threadless:
            self._pipeline.notices.threadless()
        return not self.threadless

    def request_done(self) -> None:
        """Send what is due, where no thread can; called after each request of the app."""
        if self.threadless and self._pipeline.is_due():
            self._pipeline.fold()
            self._pipeline.send(seconds=INLINE_REQUEST_SECONDS)

    # --- for the profiler -------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Hear of forks and of the exit from here on."""
        lifecycle.watch(self)

    def instrument(self, target: Callable[..., Any], timing: Timing) -> Callable[..., Any]:
        """Return the target with every call of it timed; see `instrument`."""
        return instrument(target, timing, self.registry, self.random.random)

    def flush(self, timeout: float) -> bool:
        """Send everything recorded so far; say whether all of it was acknowledged in time."""
        self._is_at_home()
        if self._worker.is_alive():
            return self._worker.flush(timeout)
        return self._pipeline.drain(timeout)

    def close(self, timeout: float) -> bool:
        """Send everything and say farewell; the thread ends, and the next sample starts it again."""
        self._is_at_home()
        if self._worker.is_alive():
            return self._worker.close(timeout)
        drained = self._pipeline.drain(timeout, final=True)
        self._pipeline.hang_up()
        return drained

    def stats(self) -> Stats:
        """Return the law's figures."""
        self._is_at_home()
        return self._pipeline.stats()

    def after_fork(self) -> None:
        """Begin anew in a forked child: nothing of the parent's is ours to send, to close or to wait for."""
        self.registry.forget_samples()
        self._begin_anew()

    def _is_at_home(self) -> bool:
        """Say whether all this belongs to this process; see to it after a fork that passed Python's hooks by.

        False only while another thread sees to it. The buffers hold what this process recorded since the fork.
        """
        if self._pid == os.getpid():
            return True
        beginning = self._beginning
        if not beginning.acquire(blocking=False):
            return False
        try:
            if self._pid != os.getpid():
                self._begin_anew()
        finally:
            beginning.release()
        return True

    def _begin_anew(self) -> None:
        self._pipeline.abandon()
        self.registry.arm()
        self.random.seed()
        self._begin()
