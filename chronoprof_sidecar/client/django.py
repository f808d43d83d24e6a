"""`ProfilingMiddleware` for Django, under WSGI and ASGI.

    MIDDLEWARE = ["chronoprof_sidecar.client.django.ProfilingMiddleware", ...]

Times whole responses until they leave the middlewares, where their body is complete, and streaming ones to the last
chunk. Where `wsgi.ProfilingMiddleware` or `asgi.ProfilingMiddleware` is wrapped around the application as well, that
one times, and this one lends it the route. Under ASGI wrap it so: Django itself refuses lifespan, and under uvicorn
that is the only sign of a process's end.
"""

import importlib
import inspect
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, ClassVar, cast

from chronoprof_sidecar.client.bodies import TimedAsyncBody, TimedBody, finish_at_close
from chronoprof_sidecar.client.exchange import (
    EXCHANGE_KEY,
    Exchange,
    RequestProfiler,
    chosen_profiler,
    lend_template,
)
from chronoprof_sidecar.client.wsgi import CLIENT_KEY


class ProfilingMiddleware:
    """Times every request of a Django site under the route of its URL configuration."""

    sync_capable: ClassVar = True
    async_capable: ClassVar = True

    def __init__(self, get_response: Callable[[Any], Any], *, profiler: RequestProfiler | None = None) -> None:
        self._get_response = get_response
        self._profiler = chosen_profiler(profiler)
        self._is_async = inspect.iscoroutinefunction(get_response)
        if self._is_async:
            # What Django asks an instance to tell whether it may await it.
            importlib.import_module("asgiref.sync").markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Answer a request; returns an awaitable of the response where Django is asynchronous."""
        if not self._profiler.enabled or CLIENT_KEY in request.META:
            return self._get_response(request)
        exchange = self._begin(request)
        return self._serve_async(request, exchange) if self._is_async else self._serve(request, exchange)

    def _begin(self, request: Any) -> Exchange | None:
        """Return the exchange of this middleware, None where one further out has its own."""
        carrier = _carrier(request)
        if EXCHANGE_KEY in carrier:
            return None
        exchange = carrier[EXCHANGE_KEY] = Exchange(self._profiler, request.method)
        return exchange

    def _serve(self, request: Any, exchange: Exchange | None) -> Any:
        try:
            response = self._get_response(request)
        except BaseException:
            _fail(request, exchange)
            raise
        return _end(request, response, exchange)

    async def _serve_async(self, request: Any, exchange: Exchange | None) -> Any:
        try:
            response = await cast("Awaitable[Any]", self._get_response(request))
        except BaseException:
            _fail(request, exchange)
            raise
        return _end(request, response, exchange)


def _carrier(request: Any) -> MutableMapping[str, Any]:
    """Return what the request shares with middlewares around Django: its ASGI scope or WSGI environ."""
    scope: MutableMapping[str, Any] | None = getattr(request, "scope", None)
    return scope if scope is not None else request.META  # which is the environ itself under WSGI


def _lend(request: Any) -> None:
    match = request.resolver_match
    lend_template(_carrier(request), None if match is None else match.route)


def _fail(request: Any, exchange: Exchange | None) -> None:
    _lend(request)
    if exchange is not None:
        exchange.finish(failed=True)


def _end(request: Any, response: Any, exchange: Exchange | None) -> Any:
    """Return the response, timed to its end if the exchange is this middleware's."""
    _lend(request)
    if exchange is None:
        return response
    exchange.status = response.status_code
    if not response.streaming or not finish_at_close(response, exchange):
        exchange.finish()
    elif getattr(response, "file_to_stream", None) is None:  # a server may send a file by its own means
        timed = TimedAsyncBody if response.is_async else TimedBody
        response.streaming_content = timed(response.streaming_content, exchange)
    return response
