"""Django, under WSGI and ASGI, alone and inside the middlewares for these."""

import asyncio
import os
from collections.abc import Callable, MutableMapping
from typing import Any
from wsgiref.util import FileWrapper

import pytest

from chronoprof_sidecar import client
from chronoprof_sidecar.client import asgi, wsgi
from chronoprof_sidecar.client.django import ProfilingMiddleware
from chronoprof_sidecar.protocol import CLIENT_HEADER
from tests.client.frameworks.recording import Case, Recorder, Sample, call_asgi, call_wsgi, wsgi_environ

# Django's settings are one per process and named by the environment.
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.client.frameworks.django_site"

import django
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory

Fetch = Callable[[str, str], int]


def start_nothing(status: str, headers: list[tuple[str, str]]) -> None:
    """Start no response."""


CASES = [
    Case("GET", "/", 200, "GET /"),
    Case("GET", "/items/7", 200, "GET /items/<int:item_id>"),
    Case("HEAD", "/items/7", 200, "HEAD /items/<int:item_id>"),
    Case("BREW", "/items/7", 200, "_OTHER /items/<int:item_id>"),
    Case("GET", "/async/a", 200, "GET /async/<slug:slug>"),
    Case("GET", "/missing/7", 404, "GET /missing/<int:n>"),
    Case("GET", "/refuse", 405, "GET <unmatched>"),
    Case("GET", "/nowhere", 404, "GET <unmatched>"),
    Case("GET", "/broken/7", 500, "GET /broken/<int:n>", True),
    Case("GET", "/stream/3", 200, "GET /stream/<int:n>"),
    Case("HEAD", "/stream/3", 200, "HEAD /stream/<int:n>"),
    Case("GET", "/file", 200, "GET /file"),
    Case("GET", "/shop/acme/7", 200, "GET /shop/<slug:tenant>/<int:n>"),
    Case("GET", "/shop/acme/cart/", 200, "GET /shop/<slug:tenant>/(?P<slug>[a-z]+)/$"),
    Case("GET", "/old/2024", 200, "GET ^old/(?P<year>[0-9]{4})$"),
]


@pytest.fixture(autouse=True)
def installed(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the recorder the default profiler: Django makes its middlewares itself."""
    monkeypatch.setattr(client, "profiler", recorder)
    django.setup()


@pytest.fixture(params=["wsgi", "wsgi in wsgi", "asgi", "asgi in asgi"])
def fetch(request: pytest.FixtureRequest, recorder: Recorder) -> Fetch:
    """Return a function that answers method and path with a status, through a whole Django application."""
    kind: str = request.param
    if kind.startswith("wsgi"):
        application: Any = get_wsgi_application()
        if kind == "wsgi in wsgi":
            application = wsgi.ProfilingMiddleware(application, profiler=recorder)
        return lambda method, path: call_wsgi(application, path, method).status
    application = get_asgi_application()
    if kind == "asgi in asgi":
        application = asgi.ProfilingMiddleware(application, profiler=recorder)
    return lambda method, path: asyncio.run(call_asgi(application, path, method)).status


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
@pytest.mark.parametrize("case", CASES)
def test_requests_are_named_by_their_route(fetch: Fetch, recorder: Recorder, case: Case) -> None:
    """A name is the route through all includes, once, whichever server's middleware stands around."""
    assert case.status == fetch(case.method, case.path)
    assert [case.sample] == recorder.samples
    assert 1 == recorder.requests_done


@pytest.mark.parametrize(("path", "n_sent"), [("/stream/2", 2), ("/file", 1)])
def test_a_stream_is_timed_to_its_last_chunk(recorder: Recorder, path: str, n_sent: int) -> None:
    """Under WSGI a stream or a file is recorded after its last chunk, and not before."""
    body = get_wsgi_application()(wsgi_environ(path), start_nothing)
    counts = [len(recorder.samples) for _ in body]
    body.close()
    assert [0] * n_sent == counts
    assert 1 == len(recorder.samples)


async def test_an_async_stream_is_timed_to_its_last_chunk(recorder: Recorder) -> None:
    """Under ASGI a stream that is made asynchronously is recorded after its last chunk, and not before."""
    counts: list[int] = []

    def on_send(message: MutableMapping[str, Any]) -> None:
        if message.get("body"):
            counts.append(len(recorder.samples))

    answer = await call_asgi(get_asgi_application(), "/stream-async/2", on_send=on_send)
    assert [b"0", b"1"] == answer.chunks
    assert [0, 0] == counts
    assert [Sample("GET /stream-async/<int:n>")] == recorder.samples


def test_a_stream_that_fails_is_an_error(recorder: Recorder) -> None:
    """An exception after the status was sent still counts."""
    with pytest.raises(LookupError):
        call_wsgi(get_wsgi_application(), "/stream-broken")
    assert [Sample("GET /stream-broken", True)] == recorder.samples


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_django_does_not_catch_is_an_error(recorder: Recorder, wrapped: bool) -> None:
    """An exit is an error of its route, and goes on to the server."""
    application: Any = get_wsgi_application()
    if wrapped:
        application = wsgi.ProfilingMiddleware(application, profiler=recorder)
    with pytest.raises(SystemExit):
        call_wsgi(application, "/leave/7")
    assert [Sample("GET /leave/<int:n>", True)] == recorder.samples


async def test_what_is_cancelled_is_an_error(recorder: Recorder) -> None:
    """A cancellation under ASGI is an error, and goes on to the server."""

    async def get_response(request: HttpRequest) -> HttpResponse:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await ProfilingMiddleware(get_response, profiler=recorder)(AsyncRequestFactory().get("/"))
    assert [Sample("GET <unmatched>", True)] == recorder.samples


def test_files_reach_the_server_as_files(recorder: Recorder) -> None:
    """Django hands its file to the server's wrapper, for sendfile; the close that the server calls ends the request."""
    environ = {**wsgi_environ("/file"), "wsgi.file_wrapper": FileWrapper}
    body = get_wsgi_application()(environ, start_nothing)
    assert type(body) is FileWrapper
    assert [] == recorder.samples
    body.close()
    assert [Sample("GET /file")] == recorder.samples


def test_the_shims_own_requests_are_not_timed(recorder: Recorder) -> None:
    """A request that carries the shim's header passes through, under both servers."""
    call_wsgi(get_wsgi_application(), "/", **{"HTTP_" + CLIENT_HEADER.upper().replace("-", "_"): "1"})
    asyncio.run(call_asgi(get_asgi_application(), "/", headers=[(CLIENT_HEADER, "1")]))
    assert [] == recorder.samples


def test_not_enabled_passes_through(recorder: Recorder) -> None:
    """Switched off, requests are answered and not recorded."""
    recorder.enabled = False
    assert 200 == call_wsgi(get_wsgi_application(), "/items/7").status
    assert 200 == asyncio.run(call_asgi(get_asgi_application(), "/items/7")).status
    assert [] == recorder.samples
