"""Pyramid: the tween, with routes, includes, streams and files."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from chronoprof_sidecar import client
from chronoprof_sidecar.client import wsgi
from tests.client.frameworks.recording import Case, Recorder, Sample, call_wsgi, wsgi_environ

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # webob imports cgi
    from pyramid.config import Configurator
    from pyramid.httpexceptions import HTTPNotFound
    from pyramid.response import FileResponse, Response


def answer(request: Any) -> Any:
    """Answer 200."""
    return Response("fine")


def missing(request: Any) -> Any:
    """Answer 404 from a route that matched."""
    raise HTTPNotFound


def unavailable(request: Any) -> Any:
    """Answer 503."""
    return Response("later", status=503)


def broken(request: Any) -> Any:
    """Raise."""
    raise LookupError


def stream(request: Any) -> Any:
    """Answer in chunks."""

    def chunks() -> Iterator[bytes]:
        for number in range(int(request.matchdict["n"])):
            yield b"%d" % number

    return Response(app_iter=chunks(), content_length=int(request.matchdict["n"]))


def file(request: Any) -> Any:
    """Answer with a file."""
    return FileResponse(__file__, request=request)


VIEWS = {
    "/items/{item_id:[0-9]+}": answer,
    "plain/{x}": answer,
    "/missing/{n}": missing,
    "/unavailable": unavailable,
    "/broken/{n}": broken,
    "/stream/{n}": stream,
    "/file": file,
}


def add_shop(config: Any) -> None:
    """Add a route below a prefix."""
    config.add_route("cart", "/cart/{n}")
    config.add_view(answer, route_name="cart")


def site() -> Any:
    """Return a Pyramid application with the tween; Pyramid makes that with the default profiler."""
    config = Configurator()
    config.add_tween("chronoprof_sidecar.client.pyramid.ProfilingMiddleware")
    for pattern, view in VIEWS.items():
        config.add_route(pattern, pattern)
        config.add_view(view, route_name=pattern)
    config.add_route("get", "/get-only", request_method="GET")
    config.add_view(answer, route_name="get")
    config.include(add_shop, route_prefix="/shop/{tenant}")
    return config.make_wsgi_app()


@pytest.fixture
def app(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a Pyramid application that is timed by the recorder."""
    monkeypatch.setattr(client, "profiler", recorder)
    return site()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    "case",
    [
        Case("GET", "/items/7", 200, "GET /items/{item_id:[0-9]+}"),
        Case("HEAD", "/items/7", 200, "HEAD /items/{item_id:[0-9]+}"),
        Case("BREW", "/items/7", 200, "_OTHER /items/{item_id:[0-9]+}"),
        Case("GET", "/items/seven", 404, "GET <unmatched>"),
        Case("GET", "/plain/x", 200, "GET /plain/{x}"),
        Case("GET", "/missing/7", 404, "GET /missing/{n}"),
        Case("POST", "/get-only", 404, "POST <unmatched>"),
        Case("GET", "/nowhere", 404, "GET <unmatched>"),
        Case("GET", "/unavailable", 503, "GET /unavailable", True),
        Case("GET", "/stream/3", 200, "GET /stream/{n}"),
        Case("HEAD", "/stream/3", 200, "HEAD /stream/{n}"),
        Case("GET", "/file", 200, "GET /file"),
        Case("GET", "/shop/acme/cart/7", 200, "GET /shop/{tenant}/cart/{n}"),
    ],
)
def test_requests_are_named_by_their_pattern(app: Any, recorder: Recorder, wrapped: bool, case: Case) -> None:
    """A name is the pattern through all includes, once, with and without the WSGI middleware around."""
    if wrapped:
        app = wsgi.ProfilingMiddleware(app, profiler=recorder)
    assert case.status == call_wsgi(app, case.path, case.method).status
    assert [case.sample] == recorder.samples
    assert 1 == recorder.requests_done


@pytest.mark.parametrize("wrapped", [False, True])
def test_exceptions_are_errors(app: Any, recorder: Recorder, wrapped: bool) -> None:
    """An exception that no view turns into an answer is an error of its route and goes on to the server."""
    if wrapped:
        app = wsgi.ProfilingMiddleware(app, profiler=recorder)
    with pytest.raises(LookupError):
        call_wsgi(app, "/broken/7")
    assert [Sample("GET /broken/{n}", True)] == recorder.samples


def test_a_stream_is_timed_to_its_last_chunk(app: Any, recorder: Recorder) -> None:
    """A stream is recorded after its last chunk, not before, and keeps its Content-Length."""
    started: list[Any] = []
    body = app(wsgi_environ("/stream/2"), lambda *response: started.append(response))
    counts = [len(recorder.samples) for _ in body]
    body.close()
    assert [0, 0] == counts
    assert [Sample("GET /stream/{n}")] == recorder.samples
    assert "2" == dict(started[0][1])["Content-Length"]


def test_not_enabled_passes_through(app: Any, recorder: Recorder) -> None:
    """Switched off, requests are answered and not recorded."""
    recorder.enabled = False
    assert 200 == call_wsgi(app, "/items/7").status
    assert [] == recorder.samples
