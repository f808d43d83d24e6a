"""Quart: its rules, lent by a hook that the middleware installs by itself."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from quart import Blueprint, Quart, abort, request, websocket
from quart.wrappers import Response

from chronoprof_sidecar.client.asgi import ProfilingMiddleware
from tests.client.frameworks.recording import Case, Recorder, call_asgi, call_websocket


def site() -> Quart:  # noqa: C901 - a list of routes
    """Return a Quart app with nested blueprints."""
    app = Quart(__name__)
    shop, cart = Blueprint("shop", __name__), Blueprint("cart", __name__)

    @cart.get("/<int:n>")
    async def get_cart(tenant: str, n: int) -> str:
        return str(n)

    @app.route("/items/<int:item_id>")
    async def get_item(item_id: int) -> str:
        if item_id == 0:
            abort(404)
        return str(item_id)

    @app.get("/broken/<x>")
    async def get_broken(x: str) -> str:
        raise LookupError

    @app.get("/stream/<int:n>")
    async def get_stream(n: int) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            for number in range(n):
                yield b"%d" % number

        return Response(chunks())

    @app.websocket("/ws/<room>")
    async def converse(room: str) -> None:
        await websocket.send(await websocket.receive())

    @app.before_request
    async def refuse() -> str | None:
        return "refused" if request.path.startswith("/refused") else None

    @app.get("/refused/<x>")
    async def get_refused(x: str) -> str:
        return "never reached"

    shop.register_blueprint(cart, url_prefix="/cart")
    app.register_blueprint(shop, url_prefix="/shop/<tenant>")

    return app


CASES = [
    Case("GET", "/items/7", 200, "GET /items/<int:item_id>"),
    Case("HEAD", "/items/7", 200, "HEAD /items/<int:item_id>"),
    Case("GET", "/items/0", 404, "GET /items/<int:item_id>"),
    Case("POST", "/items/7", 405, "POST <unmatched>"),
    Case("BREW", "/items/7", 405, "_OTHER <unmatched>"),
    Case("GET", "/nowhere", 404, "GET <unmatched>"),
    Case("GET", "/broken/x", 500, "GET /broken/<x>", True),
    Case("GET", "/stream/3", 200, "GET /stream/<int:n>"),
    Case("GET", "/refused/x", 200, "GET /refused/<x>"),
    Case("GET", "/shop/acme/cart/7", 200, "GET /shop/<tenant>/cart/<int:n>"),
]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("case", CASES)
async def test_requests_are_named_by_their_rule(recorder: Recorder, inside: bool, case: Case) -> None:
    """A name is the rule, whether the middleware wraps the app object or, as Quart prefers, its `asgi_app`."""
    quart = site()
    app: Any = quart
    if inside:
        quart.asgi_app = ProfilingMiddleware(quart.asgi_app, profiler=recorder)  # type: ignore[method-assign]
    else:
        app = ProfilingMiddleware(quart, profiler=recorder)
    assert case.status == (await call_asgi(app, case.path, case.method)).status
    assert [case.sample] == recorder.samples


async def test_websockets_pass_through(recorder: Recorder) -> None:
    """A websocket works and is not timed."""
    app = ProfilingMiddleware(site(), profiler=recorder)
    assert "hello" == (await call_websocket(app, "/ws/lobby"))[1]["text"]
    assert [] == recorder.samples
