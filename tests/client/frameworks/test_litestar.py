"""Litestar: templates of handlers, controllers and nested routers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar import Controller, Litestar, Router, asgi, get, post
from litestar.exceptions import NotFoundException
from litestar.handlers import WebsocketListener
from litestar.params import FromPath
from litestar.response import Stream
from starlette.applications import Starlette
from starlette.routing import Mount

from chronoprof_sidecar.client.asgi import ProfilingMiddleware
from tests.client.frameworks.recording import Case, Recorder, Sample, call_asgi, call_websocket


class Orders(Controller):
    """A controller with a parameter in its own path."""

    path = "/orders/{order:int}"

    @get("/lines/{line:str}")
    async def get_line(self, order: FromPath[int], line: FromPath[str]) -> str:
        """Answer 200."""
        return f"{order} {line}"


class Echo(WebsocketListener):
    """Echoes."""

    path = "/ws/{room:str}"

    def on_receive(self, data: str, room: FromPath[str]) -> str:
        """Return what came, with the room."""
        return f"{data} {room}"


@get("/")
async def get_root() -> str:
    """Answer 200."""
    return "root"


@get("/items/{item_id:int}")
async def get_item(item_id: FromPath[int]) -> int:
    """Answer 200, or 404 for item 0."""
    if item_id == 0:
        raise NotFoundException
    return item_id


@post("/broken/{item_id:int}")
async def post_broken(item_id: FromPath[int]) -> None:
    """Raise, which Litestar answers with a 500."""
    raise LookupError


@get("/stream/{n:int}")
async def get_stream(n: FromPath[int]) -> Stream:
    """Answer in chunks."""

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(n):
            yield b"%d" % number

    return Stream(chunks())


@asgi("/mounted", is_mount=True, copy_scope=True)
async def mounted(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 for whatever is below."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"mounted"})


def site() -> Litestar:
    """Return a Litestar app."""
    nested = Router("/v1", route_handlers=[Router("/eu", route_handlers=[Orders])])
    handlers: list[Any] = [get_root, get_item, post_broken, get_stream, nested, Echo, mounted]
    return Litestar(handlers, logging_config=None, openapi_config=None)


@pytest.fixture
def app(recorder: Recorder) -> ProfilingMiddleware:
    """Return a Litestar app inside the middleware."""
    return ProfilingMiddleware(site(), profiler=recorder)


@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/", 200, "GET /"),
        Case("GET", "/items/7", 200, "GET /items/{item_id}"),
        Case("GET", "/items/0", 404, "GET /items/{item_id}"),
        Case("GET", "/items/seven", 404, "GET <unmatched>"),
        Case("POST", "/items/7", 405, "POST <unmatched>"),
        Case("GET", "/nowhere", 404, "GET <unmatched>"),
        Case("POST", "/broken/7", 500, "POST /broken/{item_id}", True),
        Case("GET", "/stream/3", 200, "GET /stream/{n}"),
        Case("GET", "/v1/eu/orders/5/lines/x", 200, "GET /v1/eu/orders/{order}/lines/{line}"),
        Case("GET", "/mounted/secret/x", 200, "GET /mounted/{path:path}"),
    ],
)
async def test_requests_are_named_by_their_route(app: ProfilingMiddleware, recorder: Recorder, case: Case) -> None:
    """A name is the path template through all routers; exceptions that Litestar answers are errors by their status."""
    assert case.status == (await call_asgi(app, case.path, case.method)).status
    assert [case.sample] == recorder.samples


async def test_a_mount_of_another_framework_stands_in_front(recorder: Recorder) -> None:
    """A Litestar app inside Starlette is named by both."""
    inner: Any = site()
    app = ProfilingMiddleware(Starlette(routes=[Mount("/star/{tenant}", app=inner)]), profiler=recorder)
    assert 200 == (await call_asgi(app, "/star/acme/items/7")).status
    assert [Sample("GET /star/{tenant}/items/{item_id}")] == recorder.samples


async def test_websockets_pass_through(app: ProfilingMiddleware, recorder: Recorder) -> None:
    """A websocket works and is not timed."""
    assert "hello lobby" == (await call_websocket(app, "/ws/lobby"))[1]["text"]
    assert [] == recorder.samples
