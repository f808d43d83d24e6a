"""`ProfilingMiddleware` for Falcon, under WSGI and ASGI.

    app = falcon.App(middleware=[ProfilingMiddleware()])

Times responses until the middlewares are done with them, and streams to their last chunk. Where
`wsgi.ProfilingMiddleware` or `asgi.ProfilingMiddleware` is wrapped around the app as well, that one times, and this one
lends it the template. What a sink or a static route answers is unmatched: Falcon has no template for it.
"""

from collections.abc import MutableMapping
from typing import Any, Final

from chronoprof_sidecar.client.bodies import TimedAsyncBody, TimedBody, finish_at_close
from chronoprof_sidecar.client.exchange import (
    EXCHANGE_KEY,
    Exchange,
    RequestProfiler,
    chosen_profiler,
    lend_template,
)
from chronoprof_sidecar.client.lifespan import close_off_loop
from chronoprof_sidecar.protocol import CLIENT_HEADER

_OWN_KEY: Final = "chronoprof.falcon"
"""Where the carrier keeps an exchange that this middleware made and must finish."""
_BODILESS: Final = frozenset({204, 304})


class ProfilingMiddleware:
    """Times every request of a Falcon app under its URI template."""

    def __init__(self, *, profiler: RequestProfiler | None = None) -> None:
        self._profiler = chosen_profiler(profiler)

    def process_request(self, req: Any, _resp: Any) -> None:
        """Start the clock under WSGI."""
        self._begin(req, req.env)

    async def process_request_async(self, req: Any, _resp: Any) -> None:
        """Start the clock under ASGI."""
        self._begin(req, req.scope)

    def process_response(self, req: Any, resp: Any, _resource: object, _req_succeeded: bool) -> None:
        """Finish the exchange under WSGI, or leave that to the end of the stream."""
        exchange = _end(req, resp, req.env)
        if exchange is None:
            return
        stream = resp.stream
        if not _is_streamed(req, resp, stream):
            exchange.finish()
        elif not hasattr(stream, "read"):
            resp.stream = TimedBody(stream, exchange)
        elif not finish_at_close(stream, exchange):  # file-like: the server may want the very object
            exchange.finish()

    async def process_response_async(self, req: Any, resp: Any, _resource: object, _req_succeeded: bool) -> None:
        """Finish the exchange under ASGI, or leave that to the end of the stream or of the events."""
        exchange = _end(req, resp, req.scope)
        if exchange is None:
            return
        stream = resp.stream
        if resp.sse is not None and req.method != "HEAD":
            resp.sse = TimedAsyncBody(resp.sse, exchange)
        elif not _is_streamed(req, resp, stream):
            exchange.finish()
        elif not hasattr(stream, "read") and not hasattr(stream, "close"):
            resp.stream = TimedAsyncBody(stream, exchange)
        elif not finish_at_close(stream, exchange):
            exchange.finish()

    async def process_shutdown(self, _scope: object, _event: object) -> None:
        """Ship everything before the server hears that the shutdown is complete; nothing later is sure to run."""
        if self._profiler.enabled:
            await close_off_loop(self._profiler)

    def _begin(self, req: Any, carrier: MutableMapping[str, Any]) -> None:
        if self._profiler.enabled and EXCHANGE_KEY not in carrier and req.get_header(CLIENT_HEADER) is None:
            carrier[EXCHANGE_KEY] = carrier[_OWN_KEY] = Exchange(self._profiler, req.method)


def _end(req: Any, resp: Any, carrier: MutableMapping[str, Any]) -> Exchange | None:
    """Lend the template; return the exchange that is this middleware's to finish."""
    lend_template(carrier, req.uri_template)
    exchange: Exchange | None = carrier.get(_OWN_KEY)
    if exchange is not None:
        exchange.status = resp.status_code
    return exchange


def _is_streamed(req: Any, resp: Any, stream: object) -> bool:
    """Say whether Falcon will send the stream: text, data and media come first, and some answers have no body."""
    return (
        stream is not None
        and resp.text is None
        and resp.data is None
        and resp.media is None
        and req.method != "HEAD"
        and resp.status_code not in _BODILESS
    )
