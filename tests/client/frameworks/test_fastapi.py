"""FastAPI: templates through included routers, their prefixes, and mounted apps."""

from pathlib import Path

import pytest
from fastapi import APIRouter, BackgroundTasks, FastAPI, HTTPException, WebSocket
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from chronoprof_sidecar.client.asgi import ProfilingMiddleware
from tests.client.frameworks.recording import Case, Recorder, Sample, call_asgi, call_websocket


async def plain(request: Request) -> Response:
    """Answer 200 outside of FastAPI's own routes."""
    return PlainTextResponse("plain")


def orders() -> APIRouter:
    """Return a router in a router, with foreign routes and a mount."""
    lines = APIRouter(prefix="/lines")

    @lines.get("/{line}")
    async def get_line(line: int) -> int:
        return line

    router = APIRouter(prefix="/orders/{order}")
    router.include_router(lines)
    router.add_route("/foreign/{p}", plain)
    router.routes.append(Mount("/inner/{m}", routes=[Route("/deep/{d}", plain)]))
    return router


def site(static: Path) -> FastAPI:
    """Return an app that includes the same router twice and mounts another app twice."""
    router = orders()
    mounted = FastAPI()
    mounted.include_router(router, prefix="/v9")

    @mounted.get("/direct/{d}")
    async def get_direct(d: str) -> str:
        return d

    app = FastAPI()
    app.include_router(router)
    app.include_router(router, prefix="/v2")
    app.mount("/tenants/{tenant}", mounted)
    app.mount("/main", mounted)
    app.mount("/static", StaticFiles(directory=static))
    app.add_route("/plain", plain)

    @app.get("/items/{item_id}")
    async def get_item(item_id: int) -> int:
        if item_id == 0:
            raise HTTPException(404)
        return item_id

    @app.get("/broken/{item_id}")
    async def get_broken(item_id: int) -> None:
        raise LookupError

    @app.get("/stream/{n}")
    async def get_stream(n: int) -> StreamingResponse:
        return StreamingResponse(str(number) for number in range(n))

    @app.websocket("/ws/{room}")
    async def talk(room: str, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


@pytest.fixture
def app(recorder: Recorder, tmp_path: Path) -> ProfilingMiddleware:
    """Return a FastAPI app inside the middleware."""
    (tmp_path / "style.css").write_text("body {}")
    return ProfilingMiddleware(site(tmp_path), profiler=recorder)


@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/items/7", 200, "GET /items/{item_id}"),
        Case("GET", "/items/0", 404, "GET /items/{item_id}"),
        Case("GET", "/items/seven", 422, "GET /items/{item_id}"),
        Case("POST", "/items/7", 405, "POST <unmatched>"),
        Case("HEAD", "/items/7", 405, "HEAD <unmatched>"),
        Case("GET", "/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/plain", 200, "GET /plain"),
        Case("GET", "/stream/3", 200, "GET /stream/{n}"),
        Case("GET", "/openapi.json", 200, "GET /openapi.json"),
        Case("GET", "/static/style.css", 200, "GET /static/{path:path}"),
        Case("GET", "/orders/5/lines/1", 200, "GET /orders/{order}/lines/{line}"),
        Case("GET", "/v2/orders/5/lines/1", 200, "GET /v2/orders/{order}/lines/{line}"),
        Case("DELETE", "/v2/orders/5/lines/1", 405, "DELETE <unmatched>"),
        Case("GET", "/orders/5/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/foreign/secret", 200, "GET /foreign/{p}"),
        Case("GET", "/v2/foreign/secret", 200, "GET /v2/foreign/{p}"),
        Case("GET", "/inner/secret/deep/1", 200, "GET /inner/{m}/deep/{d}"),
        Case("GET", "/inner/secret/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/tenants/acme/direct/1", 200, "GET /tenants/{tenant}/direct/{d}"),
        Case("GET", "/main/direct/1", 200, "GET /main/direct/{d}"),
        Case("GET", "/tenants/acme/v9/orders/5/lines/1", 200, "GET /tenants/{tenant}/v9/orders/{order}/lines/{line}"),
        Case("GET", "/main/v9/orders/5/lines/1", 200, "GET /main/v9/orders/{order}/lines/{line}"),
        Case("GET", "/tenants/acme/v9/inner/secret/deep/1", 200, "GET /tenants/{tenant}/v9/inner/{m}/deep/{d}"),
        Case("GET", "/tenants/acme/nowhere", 404, "GET <unmatched>"),
    ],
)
async def test_requests_are_named_by_their_route(app: ProfilingMiddleware, recorder: Recorder, case: Case) -> None:
    """A name is the template with the prefixes of all routers and mounts, however often they are included."""
    assert case.status == (await call_asgi(app, case.path, case.method)).status
    assert [case.sample] == recorder.samples


async def test_exceptions_are_errors(app: ProfilingMiddleware, recorder: Recorder) -> None:
    """An exception is an error of the route that it was raised in."""
    with pytest.raises(LookupError):
        await call_asgi(app, "/broken/7")
    assert [Sample("GET /broken/{item_id}", True)] == recorder.samples


async def test_websockets_pass_through(app: ProfilingMiddleware, recorder: Recorder) -> None:
    """A websocket works and is not timed."""
    assert "hello" == (await call_websocket(app, "/ws/lobby"))[1]["text"]
    assert [] == recorder.samples


async def test_background_tasks_are_not_part_of_a_request(recorder: Recorder) -> None:
    """A request is recorded before its background tasks run."""
    app = FastAPI()
    seen: list[list[Sample]] = []

    @app.get("/")
    async def get_root(background: BackgroundTasks) -> None:
        background.add_task(lambda: seen.append(list(recorder.samples)))

    app.add_middleware(ProfilingMiddleware, profiler=recorder)
    await call_asgi(app, "/")
    assert [[Sample("GET /")]] == seen
    assert [Sample("GET /")] == recorder.samples
