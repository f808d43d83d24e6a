"""What every answer has in common: headers that keep it out of caches and out of guessing browsers."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

_COMMON: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Server": "chronoprof-sidecar",
}
_JSON: Final = CIMultiDict({**_COMMON, "Content-Type": "application/json"})
# Opened by itself a picture is a document: it may style itself and do nothing else.
_SVG: Final = CIMultiDict(
    {
        **_COMMON,
        "Content-Type": "image/svg+xml",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
)


def answer_json(body: bytes, status: int = 200) -> web.Response:
    """Return an answer whose body is JSON already."""
    return web.Response(body=body, status=status, headers=_JSON)


def answer_svg(body: bytes) -> web.Response:
    """Return an answer that is a picture."""
    return web.Response(body=body, headers=_SVG)


def answer_metrics(body: bytes, content_type: str, *, zipped: bool) -> web.Response:
    """Return an answer in the content type that a scraper chose."""
    coding = {"Content-Encoding": "gzip"} if zipped else {}
    vary = {"Vary": "Accept, Accept-Encoding"}
    return web.Response(body=body, headers={**_COMMON, "Content-Type": content_type, **coding, **vary})


def answer_nothing(headers: Mapping[str, str]) -> web.Response:
    """Return a 204 that carries `headers`."""
    return web.Response(status=204, headers={**_COMMON, **headers})


def begin_stream(headers: Mapping[str, str]) -> web.StreamResponse:
    """Return an answer whose body the handler writes."""
    return web.StreamResponse(headers={**_COMMON, **headers})
