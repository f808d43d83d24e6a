"""A profiler that keeps what it is told, and clients that call ASGI and WSGI apps as a server does."""

import asyncio
import io
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, NamedTuple
from wsgiref.util import setup_testing_defaults

from chronoprof_sidecar.client.exchange import EXCHANGE_KEY

Scope = MutableMapping[str, Any]


class Sample(NamedTuple):
    """One recorded call, without its duration."""

    name: str
    error: bool = False


class Case(NamedTuple):
    """A request, the status of its answer, and how it is recorded."""

    method: str
    path: str
    status: int
    name: str
    error: bool = False

    @property
    def sample(self) -> Sample:
        """Return what is to be recorded."""
        return Sample(self.name, self.error)


class Recorder:
    """Keeps samples in memory; satisfies `RequestProfiler`."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.samples: list[Sample] = []
        self.durations: list[float] = []
        self.close_timeouts: list[float] = []
        self.requests_done = 0

    def record(self, name: str, duration_seconds: float, *, error: bool) -> None:
        """Keep one call."""
        self.samples.append(Sample(name, error))
        self.durations.append(duration_seconds)

    def close(self, *, timeout: float) -> bool:
        """Note that the process ends."""
        self.close_timeouts.append(timeout)
        return True

    def request_done(self) -> None:
        """Count the ends of requests."""
        self.requests_done += 1


class Answer(NamedTuple):
    """What a client got."""

    status: int
    chunks: list[bytes]

    @property
    def body(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks)


def http_scope(path: str, method: str = "GET", headers: Iterable[tuple[str, str]] = ()) -> dict[str, Any]:
    """Return the scope of a request as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"secret=query",
        "root_path": "",
        "headers": [*((name.lower().encode(), value.encode()) for name, value in headers), (b"host", b"shop.test")],
        "client": ("192.0.2.1", 4711),
        "server": ("192.0.2.2", 80),
        "state": {},
    }


async def call_asgi(
    app: Any,
    path: str,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    on_send: Callable[[MutableMapping[str, Any]], None] | None = None,
    **scope: Any,
) -> Answer:
    """Send one request without a body to an ASGI app; `on_send` sees every message of the answer as it is sent."""
    asked = False
    answered = asyncio.Event()
    messages: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        nonlocal asked
        if asked:
            await answered.wait()
            return {"type": "http.disconnect"}
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)
        if on_send is not None:
            on_send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    await app({**http_scope(path, method, headers), **scope}, receive, send)
    chunks = [message.get("body", b"") for message in messages if message["type"] == "http.response.body"]
    starts = [message for message in messages if message["type"] == "http.response.start"]
    return Answer(starts[0]["status"], [chunk for chunk in chunks if chunk])


async def call_websocket(app: Any, path: str) -> list[MutableMapping[str, Any]]:
    """Open a websocket to an ASGI app, say `hello`, and return what the app sent."""
    incoming = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    sent: list[MutableMapping[str, Any]] = []
    answered = asyncio.Event()

    async def receive() -> MutableMapping[str, Any]:
        if incoming:
            return incoming.pop(0)
        await answered.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)
        if message["type"] != "websocket.accept":
            answered.set()

    scope = {**http_scope(path), "type": "websocket", "scheme": "ws", "subprotocols": []}
    del scope["method"]
    await app(scope, receive, send)
    return sent


def wsgi_environ(path: str, method: str = "GET", **environ: object) -> dict[str, Any]:
    """Return the environ of a request without a body."""
    made: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": "secret=q"}
    setup_testing_defaults(made)
    return {**made, "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), **environ}


def call_wsgi(app: Any, path: str, method: str = "GET", **environ: object) -> Answer:
    """Send one request without a body to a WSGI app, and read and close its answer."""
    statuses: list[str] = []

    def start_response(status: str, *_args: Any) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _data: None

    body = app(wsgi_environ(path, method, **environ), start_response)
    try:
        chunks = list(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    return Answer(int(statuses[-1][:3]), [chunk for chunk in chunks if chunk])


def bare(carrier: MutableMapping[str, Any]) -> bool:
    """Say whether an app got a scope or environ that no middleware has touched."""
    return EXCHANGE_KEY not in carrier
