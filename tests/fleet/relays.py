"""What stands between the parts of a fleet: a balancer before the sidecars, lines between one and the database."""

import asyncio
from collections.abc import Sequence
from enum import Enum
from typing import Final

from tests.relay import DEADLINE_SECONDS, End, Relay, hang_up, read_message

_PIECE_BYTES: Final = 65536


class Balancer(Relay):
    """Hands each request to the next sidecar in turn; one that cannot be reached costs its sender the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.upstream: Sequence[int] = ()
        """Ports of the sidecars in service; replaced as a whole when some come or go."""
        self._turn = 0

    async def converse(self, _line: int, near: End) -> None:
        """Take one sender's requests, one after the other."""
        far: dict[int, End] = {}
        try:
            while True:
                request = await read_message(near[0])
                self._turn += 1
                port = self.upstream[self._turn % len(self.upstream)]
                if port not in far:
                    far[port] = await asyncio.open_connection("127.0.0.1", port)
                reader, writer = far[port]
                writer.write(request)
                near[1].write(await read_message(reader))
        finally:
            for end in far.values():
                await hang_up(end)


class Flow(Enum):
    """What becomes of the bytes on a line."""

    PASS = "they arrive"
    HOLD = "they arrive once the line is whole again, as TCP sends them again after a short partition"
    SWALLOW = "they are gone, and connections go on as if they were there"
    CUT = "connections break, and new ones are refused"


class Lines(Relay):
    """A line to each server of a database, in both directions; all of them have the same flow."""

    def __init__(self, upstream: Sequence[int]) -> None:
        super().__init__()
        self._upstream = upstream
        self._flow = Flow.PASS
        self._changed = asyncio.Condition()

    def lines(self) -> int:
        """Return how many ports to listen on."""
        return len(self._upstream)

    def let(self, flow: Flow) -> None:
        """Change what becomes of bytes from now on."""
        asyncio.run_coroutine_threadsafe(self._let(flow), self.loop).result(DEADLINE_SECONDS)

    async def _let(self, flow: Flow) -> None:
        if flow is Flow.CUT or self._flow is Flow.SWALLOW:
            self.break_off()
        async with self._changed:
            self._flow = flow
            self._changed.notify_all()

    async def converse(self, line: int, near: End) -> None:
        """Carry bytes both ways until one side ends."""
        if self._flow is Flow.CUT:
            return
        await self._held()
        far = await asyncio.open_connection("127.0.0.1", self._upstream[line])
        carrying = [asyncio.ensure_future(self._carry(*ends)) for ends in ((near[0], far[1]), (far[0], near[1]))]
        try:
            await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in carrying:
                task.cancel()
            await asyncio.gather(*carrying, return_exceptions=True)
            await hang_up(far)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE_BYTES):
            await self._held()
            if self._flow is Flow.SWALLOW:
                continue
            writer.write(piece)
            await writer.drain()
        await self._held()  # that a side has ended is not heard of either

    async def _held(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._flow is not Flow.HOLD)
