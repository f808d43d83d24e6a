"""A proxy between senders and a sidecar that loses answers, and keeps attempts back to let them go later."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from tests.relay import DEADLINE_SECONDS, End, Relay, hang_up, read_message


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


class Proxy(Relay):
    """Stands before one sidecar; `decide` is asked for each request, in the proxy's thread."""

    def __init__(self, upstream_port: int, decide: Callable[[], Fate]) -> None:
        super().__init__()
        self._upstream_port = upstream_port
        self.decide = decide
        self.met: Counter[Fate] = Counter()
        self.held: list[Attempt] = []

    @property
    def url(self) -> str:
        """What a sender takes for the sidecar."""
        return f"http://127.0.0.1:{self.ports[0]}"

    def release(self, attempt: Attempt) -> tuple[int, Any]:
        """Let an attempt go now, and return the status and the decoded answer that nobody waits for any more."""
        answer = asyncio.run_coroutine_threadsafe(self._forward(attempt.content), self.loop).result(DEADLINE_SECONDS)
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)

    async def converse(self, _line: int, near: End) -> None:
        """Take one connection's requests, one after the other, until one has another fate than to pass."""
        while True:
            content = await read_message(near[0])
            fate = self.decide()
            self.met[fate] += 1
            if fate is Fate.HOLD:
                self.held.append(Attempt(content))
                return
            answer = await self._forward(content)
            if fate is Fate.LOSE_ANSWER:
                return
            near[1].write(answer)

    async def _forward(self, content: bytes) -> bytes:
        far = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        try:
            far[1].write(content)
            return await read_message(far[0])
        finally:
            await hang_up(far)
