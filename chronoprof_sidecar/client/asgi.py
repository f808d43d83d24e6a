"""`ProfilingMiddleware` for ASGI apps: Starlette, FastAPI, Litestar, Quart, and any app that speaks ASGI 3.

Owns the timing of ASGI requests, from the call of the app to the last byte of the body; background tasks that follow
are not part of it. Websockets pass through. Names come from `asgi_routes`, the end of the process from
`lifespan`. Django and Falcon keep their templates to themselves: their own middlewares lend them to this one.

    app = ProfilingMiddleware(app)
"""

from collections.abc import Awaitable
from time import perf_counter
from typing import Any, Final

from chronoprof_sidecar.client.asgi_routes import Scope, TemplateReader, ask_quart
from chronoprof_sidecar.client.exchange import EXCHANGE_KEY, Exchange, RequestProfiler, chosen_profiler
from chronoprof_sidecar.client.lifespan import App, Lifespan, Message, Send
from chronoprof_sidecar.protocol import CLIENT_HEADER

_CLIENT_HEADER: Final = CLIENT_HEADER.lower().encode()
_BODY_MESSAGES: Final = frozenset({"http.response.body", "http.response.zerocopysend", "http.response.pathsend"})


class ProfilingMiddleware:
    """Times every HTTP request of an ASGI app under the template of its route."""

    def __init__(self, app: App, *, profiler: RequestProfiler | None = None) -> None:
        self.app = app
        self._profiler = chosen_profiler(profiler)
        self._templates = TemplateReader()
        ask_quart(app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one scope; everything but HTTP requests and lifespan passes straight through."""
        if not self._profiler.enabled:
            await self.app(scope, receive, send)
        elif scope["type"] == "http" and EXCHANGE_KEY not in scope and not _is_client(scope["headers"]):
            exchange = scope[EXCHANGE_KEY] = _AsgiExchange(self._profiler, scope["method"])
            exchange.scope, exchange.send_on, exchange.templates = scope, send, self._templates
            try:
                await self.app(scope, receive, exchange.send)
            except BaseException:
                exchange.end(failed=True)
                raise
            # Usually at its end by now. If not, the client went away, or the app never answered and the server will.
            exchange.end(failed=not exchange.status)
        elif scope["type"] == "lifespan":
            await Lifespan(self._profiler, receive, send).run(self.app, scope)
        else:
            await self.app(scope, receive, send)


class _AsgiExchange(Exchange):
    """An exchange that learns the status, and the moment of its end, from the `send` that it hands to the app.

    A method costs less than a function made for each request. Until the end, it and the scope hold each other.
    """

    __slots__ = ("scope", "send_on", "templates")

    scope: Scope | None
    send_on: Send
    templates: TemplateReader

    def send(self, message: Message) -> Awaitable[None]:
        """Send one message of the answer."""
        kind = message["type"]
        if kind in _BODY_MESSAGES and not message.get("more_body"):
            return self._send_last(message)
        if kind == "http.response.start":
            self.status = message["status"]
        return self.send_on(message)

    async def _send_last(self, message: Message) -> None:
        await self.send_on(message)
        self.end()

    def end(self, failed: bool = False) -> None:
        """Finish the exchange under its template, unless that has happened."""
        scope = self.scope
        if scope is None:
            return
        ended = perf_counter()  # a first look at an app's routes takes its time
        self.scope = None
        try:
            self.template = self.templates.read(scope, self.template)
        except Exception:  # noqa: BLE001 - a framework that changed its scope costs the name, never the request
            self.template = None
        self.finish(failed, ended)


def _is_client(headers: Any) -> bool:
    """Say whether a request comes from the shim: an app that is its own sidecar must not time its own timings."""
    for name, _ in headers:  # noqa: SIM110 - any() over a generator takes five times as long
        if name == _CLIENT_HEADER:
            return True
    return False
