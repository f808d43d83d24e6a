"""What stands between two ends of a connection, in a thread of its own: the base of proxies, balancers and lines."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import Final, Self

DEADLINE_SECONDS: Final = 30.0

End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay(ABC):
    """Listens on some ports of the loopback interface, in a thread of its own."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.loop = asyncio.new_event_loop()
        self._conversations: set[asyncio.Task[None]] = set()

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Relay inside the block."""
        ready = threading.Event()
        thread = threading.Thread(target=lambda: self.loop.run_until_complete(self._serve(ready)))
        thread.start()
        try:
            assert ready.wait(DEADLINE_SECONDS)
            yield self
        finally:
            self.loop.call_soon_threadsafe(self._ending.set)
            thread.join(DEADLINE_SECONDS)
            self.loop.close()

    def lines(self) -> int:
        """Return how many ports to listen on."""
        return 1

    @abstractmethod
    async def converse(self, line: int, near: End) -> None:
        """Serve one connection to a port."""

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


async def hang_up(end: End) -> None:
    """Close a connection, and wait until it is: the loop may end right after this."""
    end[1].close()
    with suppress(OSError):
        await end[1].wait_closed()


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP message that says its own length, as requests of senders and the sidecar's answers do."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]))
