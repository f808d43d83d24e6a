"""When to send next: the interval, the backoffs, and what the sidecar asked for.

Pure: the current time comes in, in seconds of a monotonic clock. Must not know what is sent.
"""

from collections.abc import Callable
from typing import Final

MAX_BACKOFF_SECONDS: Final = 60.0
MAX_RETRY_AFTER_SECONDS: Final = 300.0
FIRST_REFUSED_SECONDS: Final = 60.0
MAX_REFUSED_SECONDS: Final = 900.0
_SPREAD: Final = 0.2
"""Intervals vary by this share either way, so that the workers of one app do not flush in step."""
_MAX_DOUBLINGS: Final = 16


class Pace:
    """Says when the next request is due. `jitter` returns a float in [0, 1)."""

    def __init__(self, interval_seconds: float, jitter: Callable[[], float], now: float) -> None:
        self._interval_seconds = interval_seconds
        self._jitter = jitter
        self._failures = 0
        self._refusals = 0
        # What the sidecar itself asked for (Retry-After, a refused key) is not overridden by a hurry.
        self._not_before = now
        self.due_at = now + self._spread(interval_seconds)

    @property
    def failing(self) -> bool:
        """Say whether the last request brought no delivery."""
        return bool(self._failures or self._refusals)

    def is_due(self, now: float) -> bool:
        """Say whether a request may be sent now."""
        return now >= self.due_at

    def go_on(self, now: float) -> None:
        """An answer settled a batch and there is more: send it at once."""
        self._settle()
        self.due_at = now

    def rest(self, now: float) -> None:
        """An answer settled the last batch: wait for the next interval."""
        self._settle()
        self.due_at = now + self._spread(self._interval_seconds)

    def back_off(self, now: float, retry_after_seconds: float | None = None) -> None:
        """No delivery: wait, with full jitter up to a bound that doubles; at least as long as the sidecar asks."""
        self._failures = min(self._failures + 1, _MAX_DOUBLINGS)
        bound = min(MAX_BACKOFF_SECONDS, self._interval_seconds * 2.0**self._failures)
        self.due_at = now + bound * self._jitter()
        if retry_after_seconds is not None:
            self._not_before = now + min(max(retry_after_seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
            self.due_at = max(self.due_at, self._not_before)

    def refused(self, now: float) -> None:
        """Somebody must change a setting first: try rarely, each time twice as rarely."""
        delay = min(MAX_REFUSED_SECONDS, FIRST_REFUSED_SECONDS * 2.0**self._refusals)
        self._refusals = min(self._refusals + 1, _MAX_DOUBLINGS)
        self.due_at = self._not_before = now + min(MAX_REFUSED_SECONDS, self._spread(delay) + _SPREAD * delay)

    def hurry(self, now: float) -> None:
        """Somebody waits: do not sit out the interval or our own backoff, only what the sidecar asked for."""
        self.due_at = min(self.due_at, max(now, self._not_before))

    def _settle(self) -> None:
        self._failures = 0
        self._refusals = 0

    def _spread(self, seconds: float) -> float:
        return seconds * (1.0 - _SPREAD + 2.0 * _SPREAD * self._jitter())
