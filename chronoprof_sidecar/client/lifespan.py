"""The end of an ASGI server's process: the last moment to ship what was recorded.

uvicorn ends its workers so that neither atexit nor finalizers run; `lifespan.shutdown` is all that arrives. So the
profiler is closed before the server hears that the shutdown is complete, and where an app refuses lifespan, this
answers in its place.
Knows nothing of requests.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from chronoprof_sidecar.client.exchange import RequestProfiler

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 app: scope, receive, send. Frameworks type these each in their own words."""

CLOSE_SECONDS: Final = 2.0
"""At most this long a shutdown waits for the sidecar."""

_SHUTDOWN_ANSWERS: Final = frozenset({"lifespan.shutdown.complete", "lifespan.shutdown.failed"})


class Lifespan:
    """One lifespan of an app; its end is the profiler's, too."""

    def __init__(self, profiler: RequestProfiler, receive: Receive, send: Send) -> None:
        self._profiler = profiler
        self._receive = receive
        self._send = send
        self._received = False
        self._answered = False
        self._closed = False

    async def run(self, app: App, scope: MutableMapping[str, Any]) -> None:
        """Run the app's lifespan; where it knows none, answer the server in its place."""
        try:
            await app(scope, self._receive_for_app, self._send_for_app)
        except Exception:
            # An app that fails before it asks for anything refuses the scope (ASGI, "Lifespan": exceptions mean
            # "not supported"). Any later failure is its own, and the server's to judge.
            if self._received or self._answered:
                await self._close()
                raise
        if self._answered:
            await self._close()
        else:
            await self._answer()

    async def _answer(self) -> None:
        if not self._received:
            await self._receive()
        await self._send({"type": "lifespan.startup.complete"})
        await self._receive()
        await self._close()
        await self._send({"type": "lifespan.shutdown.complete"})

    async def _receive_for_app(self) -> Message:
        self._received = True
        return await self._receive()

    async def _send_for_app(self, message: Message) -> None:
        self._answered = True
        if message["type"] in _SHUTDOWN_ANSWERS:
            await self._close()
        await self._send(message)

    async def _close(self) -> None:
        if not self._closed:
            self._closed = True
            await close_off_loop(self._profiler)


async def close_off_loop(profiler: RequestProfiler) -> None:
    """Close the profiler within two seconds, while the loop goes on.

    In a thread of its own: the loop's default executor may be full of the app's work, or shut down already. Under an
    event loop that is not asyncio's, where nothing else is left to run, in the loop's thread.
    """
    close = partial(profiler.close, timeout=CLOSE_SECONDS)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        close()
        return
    closed = asyncio.Event()

    def work() -> None:
        close()
        with suppress(RuntimeError):  # a loop that is closed by now waits no more
            loop.call_soon_threadsafe(closed.set)

    try:
        threading.Thread(target=work, name="chronoprof-close", daemon=True).start()
    except RuntimeError:  # no thread can start here, as late as this or at all
        close()
        return
    with suppress(TimeoutError):
        await asyncio.wait_for(closed.wait(), CLOSE_SECONDS)
