"""A proxy between senders and a sidecar that loses answers, and keeps attempts back to let them go later."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any, NamedTuple

DEADLINE_SECONDS = 30.0


class Fate(Enum):
    """What happens to one request."""

    PASS = "request and answer pass"
    LOSE_ANSWER = "the sidecar gets it, the sender never hears of it"
    HOLD = "the sender hears nothing, the sidecar gets it later"


class Attempt(NamedTuple):
    """A request that was kept back."""

    content: bytes

    @property
    def client(self) -> tuple[str, int]:
        """Who sent it under which number."""
        client = json.loads(self.content.partition(b"\r\n\r\n")[2])["client"]
        return client["id"], client["seq"]


class Proxy:
    """Stands before one sidecar; `decide` is asked for each request, in the proxy's thread."""

    def __init__(self, upstream_port: int, decide: Callable[[], Fate]) -> None:
        self._upstream_port = upstream_port
        self._loop = asyncio.new_event_loop()
        self.decide = decide
        self.port = 0
        self.met: Counter[Fate] = Counter()
        self.held: list[Attempt] = []

    @property
    def url(self) -> str:
        """What a sender takes for the sidecar."""
        return f"http://127.0.0.1:{self.port}"

    def release(self, attempt: Attempt) -> tuple[int, Any]:
        """Let an attempt go now, and return the status and the decoded answer that nobody waits for any more."""
        answer = asyncio.run_coroutine_threadsafe(self._forward(attempt.content), self._loop).result(DEADLINE_SECONDS)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serve inside the block, in a thread of its own."""
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

    async def _serve(self, ready: threading.Event) -> None:
        self._ending = asyncio.Event()
        conversations: set[asyncio.Task[None]] = set()

        def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversations.add(asyncio.ensure_future(self._converse(reader, writer)))

        async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await self._ending.wait()
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection's requests, one after the other, until one has another fate than to pass."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    content = await _read_message(reader)
                    fate = self.decide()
                    self.met[fate] += 1
                    if fate is Fate.HOLD:
                        self.held.append(Attempt(content))
                        break
                    answer = await self._forward(content)
                    if fate is Fate.LOSE_ANSWER:
                        break
                    writer.write(answer)
        finally:
            await _hang_up(writer)

    async def _forward(self, content: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        try:
            writer.write(content)
            return await _read_message(reader)
        finally:
            await _hang_up(writer)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and wait until it is: the loop may end right after this."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _read_message(reader: asyncio.StreamReader) -> bytes:
    """Read one HTTP message that says its own length, as the shim's requests and the sidecar's answers do."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0]))
