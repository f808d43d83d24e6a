"""An instrumented app whose requests all overlap, and that takes their time itself."""

import asyncio
import json
import resource
from collections.abc import MutableMapping
from time import perf_counter
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from chronoprof_sidecar.client.asgi import ProfilingMiddleware

REQUESTS = 1000
MEASURED_PATH = "/measured"


def paths() -> list[str]:
    """Return the path of each request: one route, and so one row, for each."""
    return [f"/sleep/{number}" for number in range(REQUESTS)]


def known_sleep_seconds(path: str) -> float:
    """Return for how long the request of this path sleeps: 0.4 to 1 s, no two neighbours alike."""
    return 0.4 + int(path.rpartition("/")[2]) % 100 * 0.006


def allow_open_files() -> None:
    """Let this process have as many sockets open as there are requests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, 2 * REQUESTS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


class Barrier:
    """Lets nobody on before all are there."""

    def __init__(self) -> None:
        self._missing = REQUESTS
        self._open = asyncio.Event()

    async def wait(self) -> None:
        """Wait for all others."""
        self._missing -= 1
        if not self._missing:
            self._open.set()
        await self._open.wait()


barrier = Barrier()


async def sleep(request: Request) -> PlainTextResponse:
    """Sleep for as long as is known, together with all others."""
    await barrier.wait()
    await asyncio.sleep(known_sleep_seconds(request.url.path))
    return PlainTextResponse("slept")


class Stopwatch:
    """Takes the time around the middleware, from the call of the app to the last byte of the body."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._durations_seconds: dict[str, float] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve a request, or say what the others took."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
        elif scope["path"] == MEASURED_PATH:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(self._durations_seconds).encode()})
        else:
            await self._take_time(scope, receive, send)

    async def _take_time(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        async def timed_send(message: MutableMapping[str, Any]) -> None:
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                self._durations_seconds[scope["path"]] = perf_counter() - began

        began = perf_counter()
        await self._inner(scope, receive, timed_send)


allow_open_files()
app = Stopwatch(ProfilingMiddleware(Starlette(routes=[Route(path, sleep) for path in paths()])))
