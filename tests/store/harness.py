"""Opening, stopping and starting one and the same store, with clocks that a test moves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from chronoprof_sidecar.store.contract import Store

MINUTE_NS = 60 * 1_000_000_000
HOUR_NS = 3600 * 1_000_000_000
START_NS = 1_790_000_000 * 1_000_000_000


@dataclass
class Clock:
    """A clock that a test moves."""

    ns: int = START_NS

    def __call__(self) -> int:
        return self.ns


@dataclass
class StoreHarness:
    """Opens, stops and starts again one and the same store."""

    open_with: Callable[[dict[str, Any], Clock, Callable[[], float]], Awaitable[Store]]
    clock: Clock = field(default_factory=Clock)
    uptime_seconds: float = 0.0
    _open: Store | None = None

    async def open(self, **settings: Any) -> Store:
        """Open the store, closing it first if it is open."""
        await self.close()
        self._open = await self.open_with(settings, self.clock, lambda: self.uptime_seconds)
        return self._open

    async def close(self) -> None:
        """Close the store if it is open."""
        if self._open is not None:
            await self._open.close()
            self._open = None
