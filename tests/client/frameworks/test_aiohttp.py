"""aiohttp: resources of apps and nested apps, on real sockets."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, ServerDisconnectedError, web
from pytest_aiohttp import AiohttpClient

from chronoprof_sidecar.client.aiohttp import ProfilingMiddleware
from chronoprof_sidecar.protocol import CLIENT_HEADER
from tests.client.frameworks.recording import Case, Recorder, Sample


class Server:
    """An aiohttp app with nested apps."""

    def __init__(self, recorder: Recorder, static: Path) -> None:
        self.recorder = recorder
        self.chunk_read = asyncio.Event()
        middleware = ProfilingMiddleware(profiler=recorder)
        self.app = web.Application(middlewares=[middleware])
        cart = web.Application(middlewares=[middleware])
        cart.add_routes([web.get("/{n}", self.get)])
        shop = web.Application()
        shop.add_subapp("/cart", cart)
        self.app.add_routes(
            [
                web.get("/", self.get),
                web.get(r"/items/{item_id:\d+}", self.get),
                web.get("/missing/{n}", self.missing),
                web.get("/returned/{n}", self.returned),
                web.get("/unavailable", self.unavailable),
                web.get("/broken/{n}", self.broken),
                web.get("/stream/{n}", self.stream),
                web.get("/stream-broken", self.stream_broken),
                web.get("/nothing", self.nothing),
                web.get("/ws/{room}", self.converse),
                web.static("/static", static),
            ]
        )
        self.app.add_subapp("/shop", shop)

    async def get(self, _request: web.Request) -> web.Response:
        """Answer 200."""
        return web.Response(text="fine")

    async def missing(self, _request: web.Request) -> web.Response:
        """Answer 404 from a route that matched."""
        raise web.HTTPNotFound

    async def returned(self, _request: web.Request) -> web.Response:
        """Answer 410 by a response."""
        return web.Response(status=410)

    async def unavailable(self, _request: web.Request) -> web.Response:
        """Answer 503."""
        raise web.HTTPServiceUnavailable

    async def broken(self, _request: web.Request) -> web.Response:
        """Raise."""
        raise LookupError

    async def nothing(self, _request: web.Request) -> Any:
        """Forget to answer, which aiohttp makes a 500 of."""
        return None

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Answer in chunks, the second when the client has the first."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"0")
        await self.chunk_read.wait()
        await response.write(b"%d" % len(self.recorder.samples))
        return response

    async def stream_broken(self, request: web.Request) -> web.StreamResponse:
        """Fail in the middle of the body."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"so far")
        raise LookupError

    async def converse(self, request: web.Request) -> web.WebSocketResponse:
        """Echo once."""
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(await websocket.receive_str())
        await websocket.close()
        return websocket


@pytest.fixture
def server(recorder: Recorder, tmp_path: Path) -> Server:
    """Return the app and what it shares with the test."""
    (tmp_path / "style.css").write_text("body {}" * 100_000)
    return Server(recorder, tmp_path)


@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/", 200, "GET /"),
        Case("GET", "/items/7", 200, "GET /items/{item_id}"),
        Case("HEAD", "/items/7", 200, "HEAD /items/{item_id}"),
        Case("POST", "/items/7", 405, "POST <unmatched>"),
        Case("PROPFIND", "/items/7", 405, "_OTHER <unmatched>"),
        Case("GET", "/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/missing/7", 404, "GET /missing/{n}"),
        Case("GET", "/returned/7", 410, "GET /returned/{n}"),
        Case("GET", "/unavailable", 503, "GET /unavailable", True),
        Case("GET", "/broken/7", 500, "GET /broken/{n}", True),
        Case("GET", "/nothing", 500, "GET /nothing", True),
        Case("GET", "/static/style.css", 200, "GET /static"),
        Case("GET", "/shop/cart/7", 200, "GET /shop/cart/{n}"),
        Case("GET", "/shop/cart/7/8", 404, "GET <unmatched>"),
    ],
)
async def test_requests_are_named_by_their_resource(
    aiohttp_client: AiohttpClient, server: Server, recorder: Recorder, case: Case
) -> None:
    """A name is the resource's canonical path through all nested apps, once, however many of these time."""
    client = await aiohttp_client(server.app)
    async with client.request(case.method, case.path) as response:
        await response.read()
        assert case.status == response.status
    await client.server.close()
    assert [case.sample] == recorder.samples
    assert 1 == recorder.requests_done


async def test_a_stream_is_timed_to_its_last_chunk_and_never_buffered(
    aiohttp_client: AiohttpClient, server: Server, recorder: Recorder
) -> None:
    """The client gets the first chunk before the second is made; the request is recorded at the end."""
    client = await aiohttp_client(server.app)
    async with client.get("/stream/7") as response:
        assert b"0" == await response.content.readany()
        server.chunk_read.set()
        assert b"0" == await response.content.read()
    await client.server.close()
    assert [Sample("GET /stream/{n}")] == recorder.samples


async def test_a_plain_body_is_part_of_the_time(aiohttp_client: AiohttpClient, recorder: Recorder) -> None:
    """aiohttp writes a body after the middlewares have returned; the request is recorded after that."""
    counts: list[int] = []

    class Watched(web.Response):
        async def write_eof(self, data: bytes = b"") -> None:
            counts.append(len(recorder.samples))
            await super().write_eof(data)
            counts.append(len(recorder.samples))

    async def get(request: web.Request) -> web.Response:
        return Watched(text="fine")

    app = web.Application(middlewares=[ProfilingMiddleware(profiler=recorder)])
    app.router.add_get("/", get)
    client = await aiohttp_client(app)
    assert "fine" == await (await client.get("/")).text()
    await client.server.close()
    assert [0, 0] == counts
    assert [Sample("GET /")] == recorder.samples


async def test_a_client_that_goes_away_is_recorded(aiohttp_client: AiohttpClient, recorder: Recorder) -> None:
    """Where the connection is lost before the body is written the request ends there, without an error of the app."""

    class Lost(web.Response):
        async def prepare(self, request: web.BaseRequest) -> Any:  # noqa: ARG002 - as aiohttp calls it
            raise ConnectionResetError

    async def get(_request: web.Request) -> web.Response:
        return Lost(text="fine")

    app = web.Application(middlewares=[ProfilingMiddleware(profiler=recorder)])
    app.router.add_get("/", get)
    client = await aiohttp_client(app)
    with pytest.raises(ServerDisconnectedError):
        await client.get("/")
    await client.server.close()
    assert [Sample("GET /")] == recorder.samples


async def test_a_stream_that_fails_is_an_error(
    aiohttp_client: AiohttpClient, server: Server, recorder: Recorder
) -> None:
    """An exception after the status was sent still counts."""
    client = await aiohttp_client(server.app)
    with pytest.raises(ClientPayloadError):
        await (await client.get("/stream-broken")).read()
    await client.server.close()
    assert [Sample("GET /stream-broken", True)] == recorder.samples


async def test_websockets_pass_through(aiohttp_client: AiohttpClient, server: Server, recorder: Recorder) -> None:
    """A websocket works and is not timed."""
    client = await aiohttp_client(server.app)
    async with client.ws_connect("/ws/lobby") as websocket:
        await websocket.send_str("hello")
        assert "hello" == await websocket.receive_str()
    await client.server.close()
    assert [] == recorder.samples


async def test_some_requests_are_not_timed(aiohttp_client: AiohttpClient, server: Server, recorder: Recorder) -> None:
    """A request that carries the shim's header passes through, and every one while profiling is off."""
    client = await aiohttp_client(server.app)
    assert 200 == (await client.get("/", headers={CLIENT_HEADER: "1"})).status
    recorder.enabled = False
    assert 200 == (await client.get("/")).status
    await client.server.close()
    assert [] == recorder.samples
