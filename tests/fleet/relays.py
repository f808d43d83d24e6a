"""What stands between two ends of a connection: a balancer before the sidecars, lines between one and the database."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from enum import Enum
from functools import partial
from typing import Final, Self

DEADLINE_SECONDS: Final = 30.0
_PIECE_BYTES: Final = 65536

End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Listens on some ports of the loopback interface, in a thread of its own."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self._loop = asyncio.new_event_loop()
        self._conversations: set[asyncio.Task[None]] = set()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Relay inside the block."""
        ready = threading.Event()
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve(ready)))
        thread.start()
        try:
            assert ready.wait(DEADLINE_SECONDS)
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._ending.set)
            thread.join(DEADLINE_SECONDS)
            self._loop.close()

    def lines(self) -> int:
        """Return how many ports to listen on."""
        raise NotImplementedError

    async def converse(self, line: int, near: End) -> None:
        """Serve one connection to a port."""
        raise NotImplementedError

    def break_off(self) -> None:
        """Close every connection that there is; in the loop's thread."""
        for conversation in self._conversations:
            conversation.cancel()

    async def _serve(self, ready: threading.Event) -> None:
        self._ending = asyncio.Event()
        async with AsyncExitStack() as stack:
            for line in range(self.lines()):
                server = await asyncio.start_server(partial(self._begin, line), "127.0.0.1", 0)
                await stack.enter_async_context(server)
                self.ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await self._ending.wait()
        while self._conversations:
            self.break_off()
            await asyncio.wait(self._conversations)

    def _begin(self, line: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.ensure_future(self._converse(line, (reader, writer)))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, line: int, near: End) -> None:
        try:
            with suppress(OSError, EOFError):
                await self.converse(line, near)
        except asyncio.CancelledError:
            return  # broken off
        finally:
            await hang_up(near)


class Balancer(Relay):
    """Hands each request to the next sidecar in turn; one that cannot be reached costs its sender the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.upstream: Sequence[int] = ()
        """Ports of the sidecars in service; replaced as a whole when some come or go."""
        self._turn = 0

    def lines(self) -> int:
        """Return how many ports to listen on."""
        return 1

    async def converse(self, _line: int, near: End) -> None:
        """Take one sender's requests, one after the other."""
        far: dict[int, End] = {}
        try:
            while True:
                request = await _read_message(near[0])
                self._turn += 1
                port = self.upstream[self._turn % len(self.upstream)]
                if port not in far:
                    far[port] = await asyncio.open_connection("127.0.0.1", port)
                reader, writer = far[port]
                writer.write(request)
                near[1].write(await _read_message(reader))
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
        asyncio.run_coroutine_threadsafe(self._let(flow), self._loop).result(DEADLINE_SECONDS)

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


async def hang_up(end: End) -> None:
    """Close a connection, and wait until it is: the loop may end right after this."""
    end[1].close()
    with suppress(OSError):
        await end[1].wait_closed()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP message that says its own length, as the senders' requests and the sidecar's answers do."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]))
