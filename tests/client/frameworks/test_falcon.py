"""Falcon, under WSGI and ASGI, alone and inside the middlewares for these."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any

import falcon
import falcon.asgi
import pytest
from falcon.asgi import SSEvent

from chronoprof_sidecar.client import asgi, wsgi
from chronoprof_sidecar.client.exchange import RequestProfiler
from chronoprof_sidecar.client.falcon import ProfilingMiddleware
from chronoprof_sidecar.protocol import CLIENT_HEADER
from tests.client.frameworks.recording import Case, Recorder, Sample, call_asgi, call_websocket, call_wsgi, wsgi_environ

SIZE = 3


class AsyncFile:
    """A file as asynchronous libraries make it."""

    def __init__(self) -> None:
        self._file = io.BytesIO(b"file")

    async def read(self, size: int = -1) -> bytes:
        """Read."""
        return self._file.read(size)

    async def close(self) -> None:
        """Close."""
        self._file.close()


def chunks() -> Iterator[bytes]:
    """Yield a body in chunks."""
    for number in range(SIZE):
        yield b"%d" % number


async def async_chunks() -> AsyncIterator[bytes]:
    """Yield a body in chunks."""
    for chunk in chunks():
        yield chunk


async def broken_chunks() -> AsyncIterator[bytes]:
    """Fail in the middle of the body."""
    yield b"so far"
    raise LookupError


async def events() -> AsyncIterator[SSEvent]:
    """Yield events."""
    for number in range(SIZE):
        yield SSEvent(text=str(number))


def fill(resp: Any, kind: str, file: Any, stream: Any) -> None:
    """Answer in the way that the last part of the path asks for."""
    if kind == "missing":
        raise falcon.HTTPNotFound
    if kind == "broken":
        raise LookupError
    if kind == "stream":
        resp.stream = stream
    elif kind == "file":
        resp.stream = file
    elif kind == "both":
        resp.stream, resp.text = stream, "text comes first"
    else:
        resp.text = "fine"


class Resource:
    """Answers under WSGI."""

    def on_get(self, _req: Any, resp: Any, kind: str, **_parameters: Any) -> None:
        """Answer as asked."""
        fill(resp, kind, io.BytesIO(b"file"), chunks())

    on_head = on_get


class AsyncResource:
    """Answers under ASGI."""

    async def on_get(self, _req: Any, resp: Any, kind: str, **_parameters: Any) -> None:
        """Answer as asked."""
        fill(resp, kind, AsyncFile(), async_chunks())
        if kind == "events":
            resp.sse = events()
        elif kind == "stream-broken":
            resp.text, resp.stream = None, broken_chunks()

    on_head = on_get

    async def on_websocket(self, _req: Any, websocket: Any, **_parameters: Any) -> None:
        """Echo once."""
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()


def site(kind: str, recorder: RequestProfiler) -> Any:
    """Return a Falcon app with the middleware, and more around it if `kind` says so."""
    component = ProfilingMiddleware(profiler=recorder)
    is_asgi = kind.startswith("asgi")
    app: Any = (falcon.asgi.App if is_asgi else falcon.App)(middleware=[component])
    resource = AsyncResource() if is_asgi else Resource()
    app.add_route("/get/{kind}", resource)
    app.add_route("/shop/{tenant}/items/{item_id:int}/{kind}", resource)
    # What nobody handles is answered 500; Falcon would also print it.
    app.add_error_handler(LookupError, unavailable_async if is_asgi else unavailable)
    if kind == "wsgi in wsgi":
        return wsgi.ProfilingMiddleware(app, profiler=recorder)
    return asgi.ProfilingMiddleware(app, profiler=recorder) if kind == "asgi in asgi" else app


def unavailable(_req: Any, resp: Any, _error: Exception, _params: Any) -> None:
    """Answer 500."""
    resp.status = 500


async def unavailable_async(_req: Any, resp: Any, _error: Exception, _params: Any, **_more: Any) -> None:
    """Answer 500."""
    resp.status = 500


async def fetch(kind: str, app: Any, case: Case) -> int:
    """Answer a request with its status."""
    if kind.startswith("asgi"):
        return (await call_asgi(app, case.path, case.method)).status
    return call_wsgi(app, case.path, case.method).status


@pytest.mark.parametrize("kind", ["wsgi", "wsgi in wsgi", "asgi", "asgi in asgi"])
@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/get/text", 200, "GET /get/{kind}"),
        Case("HEAD", "/get/text", 200, "HEAD /get/{kind}"),
        Case("GET", "/get/stream", 200, "GET /get/{kind}"),
        Case("HEAD", "/get/stream", 200, "HEAD /get/{kind}"),
        Case("GET", "/get/file", 200, "GET /get/{kind}"),
        Case("GET", "/get/both", 200, "GET /get/{kind}"),
        Case("GET", "/get/missing", 404, "GET /get/{kind}"),
        Case("GET", "/get/broken", 500, "GET /get/{kind}", True),
        Case("POST", "/get/text", 405, "POST <unmatched>"),
        Case("BREW", "/get/text", 400, "_OTHER /get/{kind}"),
        Case("GET", "/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/shop/acme/items/7/text", 200, "GET /shop/{tenant}/items/{item_id:int}/{kind}"),
    ],
)
async def test_requests_are_named_by_their_template(recorder: Recorder, kind: str, case: Case) -> None:
    """A name is the URI template, once, under WSGI and ASGI, with and without their middlewares around."""
    assert case.status == await fetch(kind, site(kind, recorder), case)
    assert [case.sample] == recorder.samples
    assert 1 == recorder.requests_done


def test_a_stream_is_timed_to_its_last_chunk(recorder: Recorder) -> None:
    """Under WSGI a stream is recorded after its last chunk, and not before."""
    body = site("wsgi", recorder)(wsgi_environ("/get/stream"), lambda *_started: None)
    counts = [len(recorder.samples) for _ in body]
    assert [0] * SIZE == counts
    assert [Sample("GET /get/{kind}")] == recorder.samples


@pytest.mark.parametrize("kind", ["stream", "file", "events"])
async def test_an_async_stream_is_timed_to_its_last_chunk(recorder: Recorder, kind: str) -> None:
    """Under ASGI a stream, a file or a row of events is recorded after its last chunk, and not before."""
    counts: list[int] = []

    def on_send(message: MutableMapping[str, Any]) -> None:
        if message.get("body"):
            counts.append(len(recorder.samples))

    await call_asgi(site("asgi", recorder), f"/get/{kind}", on_send=on_send)
    assert [0] * (1 if kind == "file" else SIZE) == counts
    assert [Sample("GET /get/{kind}")] == recorder.samples


async def test_a_stream_that_fails_is_an_error(recorder: Recorder) -> None:
    """An exception after the status was sent still counts."""
    with pytest.raises(LookupError):
        await call_asgi(site("asgi", recorder), "/get/stream-broken")
    assert [Sample("GET /get/{kind}", True)] == recorder.samples


async def test_websockets_pass_through(recorder: Recorder) -> None:
    """A websocket works and is not timed."""
    sent = await call_websocket(site("asgi", recorder), "/get/lobby")
    assert "hello" in [message.get("text") for message in sent]
    assert [] == recorder.samples


async def test_the_profiler_is_closed_at_shutdown(recorder: Recorder) -> None:
    """Falcon's own lifespan closes the profiler before it confirms the shutdown."""
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    counts: list[int] = []

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        counts.append(len(recorder.close_timeouts))

    await site("asgi", recorder)({"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}, receive, send)
    assert [0, 1] == counts
    assert [2.0] == recorder.close_timeouts


async def test_the_shims_own_requests_are_not_timed(recorder: Recorder) -> None:
    """A request that carries the shim's header passes through, and one while profiling is off."""
    await call_asgi(site("asgi", recorder), "/get/text", headers=[(CLIENT_HEADER, "1")])
    call_wsgi(site("wsgi", recorder), "/get/text", **{"HTTP_" + CLIENT_HEADER.upper().replace("-", "_"): "1"})
    recorder.enabled = False
    await asyncio.gather(call_asgi(site("asgi", recorder), "/get/text"))
    assert [] == recorder.samples
