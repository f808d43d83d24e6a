"""Flask: rules through blueprints and dispatched apps, by the WSGI middleware and by Flask's own."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, request, send_file
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from chronoprof_sidecar.client import flask, wsgi
from tests.client.frameworks.recording import Case, Recorder, Sample, call_wsgi


def site() -> Flask:  # noqa: C901 - a list of routes
    """Return a Flask app with nested blueprints."""
    app = Flask(__name__)
    shop, cart = Blueprint("shop", __name__), Blueprint("cart", __name__)

    @cart.get("/<int:n>")
    def get_cart(tenant: str, n: int) -> str:
        return f"{tenant} {n}"

    @app.route("/items/<int:item_id>")
    def get_item(item_id: int) -> str:
        if item_id == 0:
            abort(404)
        return str(item_id)

    @app.get("/broken/<x>")
    def get_broken(x: str) -> str:
        raise LookupError

    @app.get("/slashed/<x>/")
    def get_slashed(x: str) -> str:
        return x

    @app.get("/stream/<int:n>")
    def get_stream(n: int) -> Response:
        def chunks() -> Iterator[bytes]:
            for number in range(n):
                yield b"%d" % number

        return Response(chunks())

    @app.get("/file/<x>")
    def get_file(x: str) -> Response:
        return send_file(__file__)

    @app.before_request
    def refuse() -> str | None:
        return "refused" if request.path.startswith("/refused") else None

    @app.get("/refused/<x>")
    def get_refused(x: str) -> str:
        return "never reached"

    shop.register_blueprint(cart, url_prefix="/cart")
    app.register_blueprint(shop, url_prefix="/shop/<tenant>")
    return app


def greet(environ: Any, start_response: Any) -> list[bytes]:
    """Answer 200."""
    start_response("200 OK", [])
    return [b"hello"]


def installed(kind: str, recorder: Recorder) -> Any:
    """Return an app with the middleware put around it in one of the documented ways."""
    app = site()
    if kind == "inside":
        app.wsgi_app = wsgi.ProfilingMiddleware(app.wsgi_app, profiler=recorder)  # type: ignore[method-assign]
    elif kind == "around":
        return wsgi.ProfilingMiddleware(app, profiler=recorder)
    else:
        flask.ProfilingMiddleware(app, profiler=recorder)
    return app


@pytest.mark.parametrize("kind", ["inside", "around", "flask"])
@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/items/7", 200, "GET /items/<int:item_id>"),
        Case("HEAD", "/items/7", 200, "HEAD /items/<int:item_id>"),
        Case("OPTIONS", "/items/7", 200, "OPTIONS /items/<int:item_id>"),
        Case("GET", "/items/0", 404, "GET /items/<int:item_id>"),
        Case("POST", "/items/7", 405, "POST <unmatched>"),
        Case("BREW", "/items/7", 405, "_OTHER <unmatched>"),
        Case("GET", "/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/slashed/x", 308, "GET <unmatched>"),
        Case("GET", "/broken/x", 500, "GET /broken/<x>", True),
        Case("GET", "/stream/3", 200, "GET /stream/<int:n>"),
        Case("GET", "/file/x", 200, "GET /file/<x>"),
        Case("GET", "/refused/x", 200, "GET /refused/<x>"),
        Case("GET", "/shop/acme/cart/7", 200, "GET /shop/<tenant>/cart/<int:n>"),
    ],
)
def test_requests_are_named_by_their_rule(recorder: Recorder, kind: str, case: Case) -> None:
    """A name is the rule through all blueprints, whichever way the middleware is installed."""
    assert case.status == call_wsgi(installed(kind, recorder), case.path, case.method).status
    assert [case.sample] == recorder.samples


@pytest.mark.parametrize(("kind", "name"), [("inside", "GET <unmatched>"), ("flask", "GET /broken/<x>")])
def test_exceptions_that_leave_the_app_are_errors(recorder: Recorder, kind: str, name: str) -> None:
    """Where Flask propagates exceptions only its own middleware knows the rule, as the context is gone by then."""
    app = installed(kind, recorder)
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(LookupError):
        call_wsgi(app, "/broken/x")
    assert [Sample(name, True)] == recorder.samples


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/items/7", "GET /items/<int:item_id>"),
        ("/api/items/7", "GET /api/items/<int:item_id>"),
        ("/api/v2/items/7", "GET /api/v2/items/<int:item_id>"),
        ("/api/nowhere", "GET <unmatched>"),
    ],
)
def test_dispatched_apps_are_named_with_their_mounts(recorder: Recorder, path: str, name: str) -> None:
    """An app that werkzeug's dispatcher mounts is named by where its code mounts it."""
    inner = DispatcherMiddleware(site(), {"/v2": site()})
    app = wsgi.ProfilingMiddleware(DispatcherMiddleware(site(), {"/api": inner}), profiler=recorder)
    call_wsgi(app, path)
    assert [Sample(name)] == recorder.samples


def test_a_response_that_starts_anew_is_named_once(recorder: Recorder) -> None:
    """An app that starts its response twice does not stand below its mount twice."""
    app = site()

    def twice(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, exc_info: Any = None) -> Any:
            start_response(status, headers)
            return start_response("503 Later", headers, (LookupError, LookupError(), None))

        return app(environ, start)

    call_wsgi(wsgi.ProfilingMiddleware(DispatcherMiddleware(greet, {"/api": twice}), profiler=recorder), "/api/items/7")
    assert [Sample("GET /api/items/<int:item_id>", True)] == recorder.samples


def test_a_prefix_that_no_code_names_stays_out(recorder: Recorder) -> None:
    """What some dispatcher takes off the path may be a raw path, and never gets into a name."""
    app = site()

    def by_tenant(environ: Any, start_response: Any) -> Any:
        tenant, _, rest = environ["PATH_INFO"].lstrip("/").partition("/")
        environ["SCRIPT_NAME"] += f"/{tenant}"
        environ["PATH_INFO"] = f"/{rest}"
        return app(environ, start_response)

    call_wsgi(wsgi.ProfilingMiddleware(by_tenant, profiler=recorder), "/secret/items/7")
    assert [Sample("GET /items/<int:item_id>")] == recorder.samples
