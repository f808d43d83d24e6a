"""`ProfilingMiddleware` for WSGI apps: Flask, and any other app that speaks PEP 3333.

Owns the timing of WSGI requests, from the call of the app to the end of the body, and the names of Flask's requests.
Pyramid, Django and Falcon keep their templates to themselves: their own middlewares lend them to this one.

    app.wsgi_app = ProfilingMiddleware(app.wsgi_app)
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from chronoprof_sidecar.client.bodies import time_body
from chronoprof_sidecar.client.exchange import EXCHANGE_KEY, Exchange, RequestProfiler, chosen_profiler
from chronoprof_sidecar.protocol import CLIENT_HEADER

Environ = dict[str, Any]
App = Callable[[Any, Any], Iterable[bytes]]
"""A WSGI app: environ, start_response."""

CLIENT_KEY: Final = "HTTP_" + CLIENT_HEADER.upper().replace("-", "_")
"""The shim's header, as WSGI spells it."""

_MAX_LAYERS: Final = 64


class ProfilingMiddleware:
    """Times every request of a WSGI app under the template of its route."""

    def __init__(self, app: App, *, profiler: RequestProfiler | None = None) -> None:
        self.app = app
        self._profiler = chosen_profiler(profiler)
        self._mounts = frozenset(_mounts_of(app, 0))

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Serve one request."""
        if not self._profiler.enabled or _is_untimed(environ):
            return self.app(environ, start_response)
        exchange = environ[EXCHANGE_KEY] = _WsgiExchange(self._profiler, environ["REQUEST_METHOD"])
        exchange.environ, exchange.start_on, exchange.mounts = environ, start_response, self._mounts
        exchange.script_name = environ.get("SCRIPT_NAME", "")
        try:
            body = self.app(environ, exchange.start_response)
        except BaseException:
            exchange.finish(failed=True)
            raise
        return time_body(body, exchange, environ)


class _WsgiExchange(Exchange):
    """An exchange that learns status and template from the `start_response` that it hands to the app.

    A method costs less than a function made for each request. Until the answer begins, it and the environ hold each
    other; an app that never begins one leaves them to the garbage collector.
    """

    __slots__ = ("environ", "mounts", "script_name", "start_on")

    environ: Environ | None
    mounts: frozenset[str]
    script_name: str
    start_on: Callable[..., Any]

    def start_response(self, status: str, *args: Any) -> Any:
        """Begin the answer, or begin it anew to report an error."""
        if self.environ is not None:
            self._read_template(self.environ)
            self.environ = None
        code = status[:3]
        self.status = int(code) if code.isdecimal() else 0
        return self.start_on(status, *args)

    def _read_template(self, environ: Environ) -> None:
        """Read the template while it is there: Flask's request context ends before the body begins."""
        if self.template is None:
            rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
            if rule is None:
                return
            self.template = rule.rule  # which werkzeug makes begin with a slash
        now_at = environ.get("SCRIPT_NAME", "")
        if now_at == self.script_name:
            return
        # The app was mounted there by its own code only if a dispatcher says so; others may put raw paths there.
        mounted_at = now_at[len(self.script_name) :]
        if mounted_at in self.mounts:
            self.template = mounted_at + self.template


def _is_untimed(environ: Environ) -> bool:
    """Say whether a request is the shim's, timed further out, or a websocket, which lasts as long as it likes."""
    if CLIENT_KEY in environ or EXCHANGE_KEY in environ:
        return True
    return "HTTP_UPGRADE" in environ and environ["HTTP_UPGRADE"].lower() == "websocket"


def _mounts_of(app: Any, depth: int) -> Iterator[str]:
    """Yield the paths at which werkzeug's `DispatcherMiddleware`, here or in a middleware, mounts apps."""
    while app is not None and depth < _MAX_LAYERS:
        mounts = getattr(app, "mounts", None)
        if isinstance(mounts, dict):
            for path, mounted in mounts.items():
                yield path
                yield from (path + inner for inner in _mounts_of(mounted, depth + 1))
        app = getattr(app, "app", None)
        depth += 1
