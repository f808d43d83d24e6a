"""Time that a test makes pass: hours of it in seconds, on the wall clock and on the one that counts service time."""

import asyncio
from pathlib import Path
from typing import Any

from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.store import EmbeddedStore
from tests.process.sidecar import DEADLINE_SECONDS
from tests.store.test_embedded import make_harness

SECOND_NS = 10**9


class SimulatedStore:
    """A store on a real file, in a time of its own; the settings are those of every opening."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.data = data
        self._settings = settings
        self._harness = make_harness(data)
        self.store: EmbeddedStore

    async def open(self) -> EmbeddedStore:
        """Open the store, closing it first if it is open."""
        store = await self._harness.open(**self._settings)
        assert isinstance(store, EmbeddedStore)
        self.store = store
        return store

    async def close(self) -> None:
        """Close the store."""
        await self._harness.close()

    @property
    def wall_ns(self) -> int:
        """The wall clock."""
        return self._harness.clock.ns

    def jump(self, seconds: float) -> None:
        """Have the wall clock jump."""
        self._harness.clock.ns += round(seconds * SECOND_NS)

    async def let_pass(self, seconds: float) -> None:
        """Let time pass on both clocks, after the store did what it does in that time."""
        parts = self.store._parts
        async with asyncio.timeout(DEADLINE_SECONDS):
            while parts.writer._upkeep.due_in_seconds() <= 0:
                await parts.database.run(_take_a_turn)
        self._harness.uptime_seconds += seconds
        self.jump(seconds)


def _take_a_turn(_: Database) -> None:
    """Come back when the thread has done what it was given before."""
