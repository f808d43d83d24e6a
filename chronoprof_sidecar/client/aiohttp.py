"""`ProfilingMiddleware` for aiohttp servers.

    app = web.Application(middlewares=[ProfilingMiddleware()])

Times every request to the end of the body, which aiohttp writes after the middlewares have returned. Websockets pass
through.
"""

import importlib
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, ClassVar

from chronoprof_sidecar.client.exchange import EXCHANGE_KEY, Exchange, RequestProfiler, chosen_profiler
from chronoprof_sidecar.client.routes import with_slash
from chronoprof_sidecar.protocol import CLIENT_HEADER

Handler = Callable[[Any], Awaitable[Any]]

_SWITCHING_PROTOCOLS = 101


class ProfilingMiddleware:
    """Times every request of an aiohttp application under the canonical path of its resource."""

    __middleware_version__: ClassVar = 1  # what `web.middleware` sets, too

    def __init__(self, *, profiler: RequestProfiler | None = None) -> None:
        self._profiler = chosen_profiler(profiler)
        self._http_exception: Any = importlib.import_module("aiohttp.web").HTTPException
        self._key = _exchange_key()

    async def __call__(self, request: Any, handler: Handler) -> Any:
        """Answer a request."""
        if not self._profiler.enabled or self._key in request or CLIENT_HEADER in request.headers:
            return await handler(request)
        exchange = request[self._key] = Exchange(self._profiler, request.method)
        resource = request.match_info.route.resource
        if resource is not None:
            exchange.template = with_slash(resource.canonical)
        try:
            response = await handler(request)
        except BaseException as error:
            if isinstance(error, self._http_exception):  # an answer in the shape of an exception
                exchange.status = error.status
                exchange.finish()
            elif not _is_websocket(request):
                exchange.finish(failed=True)
            raise
        exchange.status = getattr(response, "status", 500)  # aiohttp answers 500 for what is not a response
        if exchange.status != _SWITCHING_PROTOCOLS:
            _finish_at_eof(response, exchange)
        return response


@cache
def _exchange_key() -> Any:
    """Return the key under which all middlewares find a request's exchange; aiohttp warns of strings since 3.14."""
    request_key: Any = getattr(importlib.import_module("aiohttp.web"), "RequestKey", None)
    return EXCHANGE_KEY if request_key is None else request_key(EXCHANGE_KEY, Exchange)


def _is_websocket(request: Any) -> bool:
    return bool(request.headers.get("Upgrade", "").lower() == "websocket")


def _finish_at_eof(response: Any, exchange: Exchange) -> None:
    """Let the end of the body finish the exchange: aiohttp calls `prepare`, then `write_eof`, or gives up between."""
    if not hasattr(response, "write_eof"):
        exchange.finish()
        return
    prepare, write_eof = response.prepare, response.write_eof

    async def timed_prepare(request: Any) -> Any:
        try:
            return await prepare(request)
        except BaseException:
            finish()
            raise

    async def timed_write_eof(*data: Any) -> None:
        try:
            await write_eof(*data)
        finally:
            finish()

    def finish() -> None:
        # Before the attributes go: they make a cycle of the response and these functions.
        response.__dict__.pop("prepare", None)
        response.__dict__.pop("write_eof", None)
        exchange.finish()

    response.prepare, response.write_eof = timed_prepare, timed_write_eof
