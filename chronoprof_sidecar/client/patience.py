"""How long one exchange with the sidecar may take, and what the waiting thread does meanwhile.

Owns every wait of the transport: each ends at a deadline and is cut into ticks, between which the flush thread folds,
so that a frozen sidecar does not let the app's buffers grow. Must not know what is waited for. Needs POSIX `poll`.
"""

import time
from collections.abc import Callable
from typing import Final

from chronoprof_sidecar.client.native import make_poll

TICK_SECONDS: Final = 0.05


class Patience:
    """Waits until a deadline that is fixed at the start, and calls `idle` about every 50 ms.

    Whatever `idle` raises ends the exchange.
    """

    __slots__ = ("_deadline", "_idle", "_idle_at")

    def __init__(self, seconds: float, idle: Callable[[], None]) -> None:
        now = time.monotonic()
        self._deadline = now + seconds
        self._idle = idle
        self._idle_at = now + TICK_SECONDS

    def at_most(self, seconds: float) -> "Patience":
        """Return a patience for a part of the exchange, that ends with the whole at the latest."""
        return Patience(min(seconds, self._deadline - time.monotonic()), self._idle)

    def tick(self) -> float:
        """Call `idle` if it is time to, and return the seconds to wait next.

        Raises:
            TimeoutError: the deadline has passed.
        """
        now = time.monotonic()
        if now >= self._idle_at:
            self._idle()
            self._idle_at = time.monotonic() + TICK_SECONDS
        if now >= self._deadline:
            raise TimeoutError("no answer in time")
        return min(TICK_SECONDS, self._deadline - now)

    def until_ready(self, fileno: int, event: int) -> None:
        """Wait until the file descriptor is ready for `select.POLLIN` or `select.POLLOUT`, or has failed."""
        poller = make_poll()
        poller.register(fileno, event)
        while not poller.poll(self.tick() * 1000):
            pass
