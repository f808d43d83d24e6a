"""Starlette: templates through nested mounts, what does not match, streaming, websockets."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from chronoprof_sidecar.client.asgi import ProfilingMiddleware
from tests.client.frameworks.recording import Case, Recorder, Sample, call_asgi, call_websocket


async def answer(request: Request) -> Response:
    """Answer 200."""
    return PlainTextResponse("fine")


async def shared(request: Request) -> Response:
    """Answer 200, under two routes."""
    return PlainTextResponse("fine")


async def missing(request: Request) -> Response:
    """Answer 404 from a route that matched."""
    return PlainTextResponse("no such item", 404)


async def unavailable(request: Request) -> Response:
    """Answer 503."""
    return PlainTextResponse("later", 503)


async def broken(request: Request) -> Response:
    """Raise."""
    raise LookupError("secret of the app")


class Thing(HTTPEndpoint):
    """A class that answers GET alone."""

    async def get(self, _request: Request) -> Response:
        """Answer 200."""
        return PlainTextResponse("thing")


async def converse(websocket: WebSocket) -> None:
    """Echo once and hang up."""
    await websocket.accept()
    await websocket.send_text(await websocket.receive_text())
    await websocket.close()


def hidden(app: Any) -> Any:
    """Return an app that does not show what it passes requests on to."""

    async def passed_on(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return passed_on


def routes(static: Path) -> list[BaseRoute]:
    """Return every kind of route."""
    shop = Router([Route("/items/{item_id:int}", answer), Route("/{id}", answer), Route("/", answer)])
    twice = Starlette(routes=[Route("/x/{n}", shared), Mount("/deeper/{level}", routes=[Route("/y", answer)])])
    return [
        Route("/", answer),
        Route("/items/{item_id:int}", answer, methods=["GET", "POST"]),
        Route("/files/{path:path}", answer),
        Route("/missing/{id}", missing),
        Route("/unavailable", unavailable),
        Route("/broken/{id}", broken),
        Route("/thing", Thing),
        Route("/shared/a/{n}", shared),
        Mount("/shop/{tenant}", app=shop),
        Mount("/users/{id:int}", routes=[Mount("/posts/{id:int}", routes=[Route("/{id:int}", answer)])]),
        Mount("/wrapped", app=shop, middleware=[Middleware(GZipMiddleware)]),
        Mount("/first/{a}", app=twice),
        Mount("/second", app=GZipMiddleware(twice)),
        Mount("/hidden/{a}", app=hidden(Router([Route("/z/{n}", answer)]))),
        Mount("/static", app=StaticFiles(directory=static)),
        WebSocketRoute("/ws/{room}", converse),
        Host("api.shop.test", app=Router([Route("/by-host/{n}", answer)])),
    ]


@pytest.fixture
def app(recorder: Recorder, tmp_path: Path) -> ProfilingMiddleware:
    """Return a Starlette app inside the middleware."""
    (tmp_path / "style.css").write_text("body {}")
    return ProfilingMiddleware(Starlette(routes=routes(tmp_path)), profiler=recorder)


@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/", 200, "GET /"),
        Case("GET", "/items/7", 200, "GET /items/{item_id:int}"),
        Case("HEAD", "/items/7", 200, "HEAD /items/{item_id:int}"),
        Case("POST", "/items/7", 200, "POST /items/{item_id:int}"),
        Case("DELETE", "/items/7", 405, "DELETE <unmatched>"),
        Case("BREW", "/items/7", 405, "_OTHER <unmatched>"),
        Case("POST", "/thing", 405, "POST <unmatched>"),
        Case("GET", "/files/a/b/c", 200, "GET /files/{path:path}"),
        Case("GET", "/missing/7", 404, "GET /missing/{id}"),
        Case("GET", "/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/items/7/", 307, "GET <unmatched>"),
        Case("GET", "/shop/acme/items/007", 200, "GET /shop/{tenant}/items/{item_id:int}"),
        Case("GET", "/shop/acme/", 200, "GET /shop/{tenant}/"),
        Case("GET", "/shop/acme/no/where", 404, "GET <unmatched>"),
        Case("POST", "/shop/acme/items/7", 405, "POST <unmatched>"),
        Case("GET", "/users/1/posts/01/1", 200, "GET /users/{id:int}/posts/{id:int}/{id:int}"),
        Case("GET", "/wrapped/items/7", 200, "GET /wrapped/items/{item_id:int}"),
        Case("GET", "/first/1/x/1", 200, "GET /first/{a}/x/{n}"),
        Case("GET", "/second/x/1", 200, "GET /second/x/{n}"),
        Case("GET", "/shared/a/1", 200, "GET /shared/a/{n}"),
        Case("GET", "/first/first/deeper/second/y", 200, "GET /first/{a}/deeper/{level}/y"),
        Case("GET", "/second/deeper/first/y", 200, "GET /second/deeper/{level}/y"),
        Case("GET", "/hidden/secret/z/1", 200, "GET /<mount>/z/{n}"),
        Case("GET", "/static/style.css", 200, "GET /static/{path:path}"),
        Case("GET", "/static/none.css", 404, "GET /static/{path:path}"),
    ],
)
async def test_requests_are_named_by_their_route(app: ProfilingMiddleware, recorder: Recorder, case: Case) -> None:
    """A name is the template through all mounts, parameters put back, whatever the values look like; twice the same."""
    for _ in range(2):
        assert case.status == (await call_asgi(app, case.path, case.method)).status
    assert [case.sample] * 2 == recorder.samples
    assert 2 == recorder.requests_done


async def test_hosts_take_no_part_in_a_name(app: ProfilingMiddleware, recorder: Recorder) -> None:
    """A route below a host is named by its path alone."""
    assert 200 == (await call_asgi(app, "/by-host/7", headers=[("Host", "api.shop.test")])).status
    assert [Sample("GET /by-host/{n}")] == recorder.samples


async def test_a_servers_root_path_takes_no_part_in_a_name(app: ProfilingMiddleware, recorder: Recorder) -> None:
    """What a proxy strips in front of the app is no route of the app, in mounts neither."""
    await call_asgi(app, "/proxy/shop/acme/items/7", root_path="/proxy")
    await call_asgi(app, "/proxy/first/acme/x/7", root_path="/proxy")
    assert [Sample("GET /shop/{tenant}/items/{item_id:int}"), Sample("GET /first/{a}/x/{n}")] == recorder.samples


async def test_routes_added_later_are_found(recorder: Recorder) -> None:
    """A mount that an app gains while it serves is named like the others."""
    inner = Router([Route("/a", answer)])
    starlette = Starlette(routes=[Mount("/m/{x}", app=inner)])
    app = ProfilingMiddleware(starlette, profiler=recorder)
    await call_asgi(app, "/m/1/a")
    inner.routes.append(Route("/b/{y}", missing))
    await call_asgi(app, "/m/1/b/2")
    assert [Sample("GET /m/{x}/a"), Sample("GET /m/{x}/b/{y}")] == recorder.samples


async def test_errors_are_5xx_and_exceptions(app: ProfilingMiddleware, recorder: Recorder) -> None:
    """A 503 and an exception count as errors, once each; the exception reaches the server."""
    await call_asgi(app, "/unavailable")
    with pytest.raises(LookupError):
        await call_asgi(app, "/broken/7")
    assert [Sample("GET /unavailable", True), Sample("GET /broken/{id}", True)] == recorder.samples


async def test_a_stream_is_timed_to_its_last_chunk_and_never_buffered(recorder: Recorder) -> None:
    """Each chunk is sent before the next is made; the request is recorded after the last, before background tasks."""
    log: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(3):
            log.append(f"made {number}")
            yield b"%d" % number

    async def stream(request: Request) -> Response:
        task = BackgroundTask(lambda: log.append(f"background after {len(recorder.samples)} samples"))
        return StreamingResponse(chunks(), background=task)

    def on_send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            log.append(f"sent {message['body'].decode()} after {len(recorder.samples)} samples")

    app = ProfilingMiddleware(Starlette(routes=[Route("/stream", stream)]), profiler=recorder)
    answer = await call_asgi(app, "/stream", on_send=on_send)
    assert [b"0", b"1", b"2"] == answer.chunks
    expected = [f"{verb} {n}{after}" for n in range(3) for verb, after in (("made", ""), ("sent", " after 0 samples"))]
    assert [*expected, "sent  after 0 samples", "background after 1 samples"] == log


async def test_a_stream_that_fails_is_an_error(recorder: Recorder) -> None:
    """An exception after the status was sent still counts."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"so far"
        raise LookupError

    async def stream(request: Request) -> Response:
        return StreamingResponse(chunks())

    app = ProfilingMiddleware(Starlette(routes=[Route("/stream", stream)]), profiler=recorder)
    with pytest.raises(LookupError):
        await call_asgi(app, "/stream")
    assert [Sample("GET /stream", True)] == recorder.samples


async def test_files_sent_by_path_are_timed(recorder: Recorder, tmp_path: Path) -> None:
    """A file that the server sends by its path ends the answer."""
    (tmp_path / "a.txt").write_text("a")

    async def file(request: Request) -> Response:
        return FileResponse(tmp_path / "a.txt")

    app = ProfilingMiddleware(Starlette(routes=[Route("/file", file)]), profiler=recorder)
    await call_asgi(app, "/file", extensions={"http.response.pathsend": {}})
    assert [Sample("GET /file")] == recorder.samples


async def test_websockets_pass_through(app: ProfilingMiddleware, recorder: Recorder) -> None:
    """A websocket works and is not timed."""
    sent = await call_websocket(app, "/ws/lobby")
    assert ["websocket.accept", "websocket.send", "websocket.close"] == [message["type"] for message in sent]
    assert "hello" == sent[1]["text"]
    assert [] == recorder.samples


@pytest.mark.parametrize("as_middleware", [True, False])
async def test_it_may_stand_inside_the_app(recorder: Recorder, as_middleware: bool) -> None:
    """Added as Starlette's own middleware, or around a mounted app alone, names are whole; twice around is once."""

    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            return await call_next(request)

    inner: Any = Router([Route("/a/{x}", answer)])
    middleware = [Middleware(Passing)]
    if as_middleware:
        middleware.append(Middleware(ProfilingMiddleware, profiler=recorder))
    inner = ProfilingMiddleware(inner, profiler=recorder)
    app = Starlette(routes=[Mount("/m/{y}", app=inner)], middleware=middleware)
    assert 200 == (await call_asgi(app, "/m/1/a/2")).status
    assert [Sample("GET /m/{y}/a/{x}")] == recorder.samples


async def test_overlapping_requests_keep_apart(recorder: Recorder) -> None:
    """Requests that wait for each other are recorded under their own routes."""
    both = asyncio.Barrier(2)

    async def wait(request: Request) -> Response:
        await both.wait()
        return PlainTextResponse("fine")

    app = ProfilingMiddleware(Starlette(routes=[Route("/a", wait), Route("/b", wait)]), profiler=recorder)
    await asyncio.gather(call_asgi(app, "/a"), call_asgi(app, "/b"))
    assert [Sample("GET /a"), Sample("GET /b")] == sorted(recorder.samples)
