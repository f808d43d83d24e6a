"""A Django site: its settings, its URL configuration and its views, in one module that Django imports by name."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path

ROOT_URLCONF = __name__
MIDDLEWARE = ["chronoprof_sidecar.client.django.ProfilingMiddleware"]
ALLOWED_HOSTS = ["*"]
SECRET_KEY = "of the tests"
LOGGING_CONFIG = None
APPEND_SLASH = False


class Closable(io.BytesIO):
    """A file in memory."""


def answer(request: HttpRequest, **parameters: Any) -> HttpResponse:
    """Answer 200."""
    return HttpResponse("fine")


async def answer_async(request: HttpRequest, **parameters: Any) -> HttpResponse:
    """Answer 200 after a turn of the loop."""
    await asyncio.sleep(0)
    return HttpResponse("fine")


def missing(request: HttpRequest, **parameters: Any) -> HttpResponse:
    """Answer 404 from a route that matched."""
    raise Http404


def refuse(request: HttpRequest) -> HttpResponse:
    """Answer 405 from the view."""
    return HttpResponse(status=405)


def broken(request: HttpRequest, **parameters: Any) -> HttpResponse:
    """Raise."""
    raise LookupError


def leave(request: HttpRequest, **parameters: Any) -> HttpResponse:
    """End the process, or so it seems."""
    raise SystemExit


def stream(request: HttpRequest, n: int) -> StreamingHttpResponse:
    """Answer in chunks."""

    def chunks() -> Iterator[bytes]:
        for number in range(n):
            yield b"%d" % number

    return StreamingHttpResponse(chunks())


async def stream_async(request: HttpRequest, n: int) -> StreamingHttpResponse:
    """Answer in chunks that are made asynchronously."""

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(n):
            yield b"%d" % number

    return StreamingHttpResponse(chunks())


def stream_broken(request: HttpRequest) -> StreamingHttpResponse:
    """Fail in the middle of the body."""

    def chunks() -> Iterator[bytes]:
        yield b"so far"
        raise LookupError

    return StreamingHttpResponse(chunks())


def file(request: HttpRequest) -> FileResponse:
    """Answer with a file."""
    return FileResponse(Closable(b"file"))


shop = [path("<int:n>", answer), re_path(r"^(?P<slug>[a-z]+)/$", answer)]
urlpatterns = [
    path("", answer),
    path("items/<int:item_id>", answer),
    path("async/<slug:slug>", answer_async),
    path("missing/<int:n>", missing),
    path("refuse", refuse),
    path("broken/<int:n>", broken),
    path("leave/<int:n>", leave),
    path("stream/<int:n>", stream),
    path("stream-async/<int:n>", stream_async),
    path("stream-broken", stream_broken),
    path("file", file),
    path("shop/<slug:tenant>/", include(shop)),
    re_path(r"^old/(?P<year>[0-9]{4})$", answer),
]
