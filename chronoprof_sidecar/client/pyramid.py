"""`ProfilingMiddleware` for Pyramid: a tween.

    config.add_tween("chronoprof_sidecar.client.pyramid.ProfilingMiddleware")

Times whole responses until they leave the tweens, where their body is complete, and all others to the end of the body.
Where `wsgi.ProfilingMiddleware` is wrapped around the application as well, that one times, and this one lends it the
pattern. What traversal finds without a route is unmatched: its paths are data, not code.
"""

from collections.abc import Callable
from typing import Any

from chronoprof_sidecar.client.bodies import time_body
from chronoprof_sidecar.client.exchange import (
    EXCHANGE_KEY,
    Exchange,
    RequestProfiler,
    chosen_profiler,
    lend_template,
)
from chronoprof_sidecar.client.wsgi import CLIENT_KEY


class ProfilingMiddleware:
    """Times every request of a Pyramid application under the pattern of its route."""

    def __init__(
        self,
        handler: Callable[[Any], Any],
        registry: object,  # noqa: ARG002 - Pyramid calls a tween factory so
        *,
        profiler: RequestProfiler | None = None,
    ) -> None:
        self._handler = handler
        self._profiler = chosen_profiler(profiler)

    def __call__(self, request: Any) -> Any:
        """Answer a request."""
        environ = request.environ
        if not self._profiler.enabled or CLIENT_KEY in environ:
            return self._handler(request)
        exchange = None
        if EXCHANGE_KEY not in environ:
            exchange = environ[EXCHANGE_KEY] = Exchange(self._profiler, request.method)
        try:
            response = self._handler(request)
        except BaseException:
            _lend(request)
            if exchange is not None:
                exchange.finish(failed=True)
            raise
        _lend(request)
        if exchange is not None:
            _end(request, response, exchange)
        return response


def _lend(request: Any) -> None:
    route = request.matched_route
    lend_template(request.environ, None if route is None else route.pattern)


def _end(request: Any, response: Any, exchange: Exchange) -> None:
    exchange.status = response.status_int
    body = response.app_iter
    if isinstance(body, list | tuple):
        exchange.finish()
        return
    length = response.content_length
    response.app_iter = time_body(body, exchange, request.environ)
    response.content_length = length  # which a new body resets
