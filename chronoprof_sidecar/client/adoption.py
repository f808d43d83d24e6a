"""Giving an app object its middleware from outside, whatever framework it is made with.

Owns how Flask, Quart, Starlette (and so FastAPI), aiohttp, Django, factories and plain WSGI and ASGI apps are told
apart and what each takes. Imports no framework: an app of one that is not loaded cannot be here.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from chronoprof_sidecar.client.patterns import AppPath
from chronoprof_sidecar.errors import ChronoprofError

_INNER: Final = ("app", "application", "wsgi_app", "asgi_app")
"""Where middlewares keep the app that they wrap."""

_MAX_LAYERS: Final = 64

Tell = Callable[[Exception | None], None]


class AdoptionError(ChronoprofError):
    """There is no app here that a middleware can be given to; the message says why."""

    code = "no_app"


def adopt(module: ModuleType, path: AppPath, tell: Tell) -> None:
    """Give the app at a path in a module its middleware, or let the function there give one to each app that it makes.

    `tell` hears of every attempt: None, or why an app stays as it is.

    Raises:
        AdoptionError: there is no such attribute.
    """
    *holders, name = path.attribute.split(".")
    try:
        holder = functools.reduce(getattr, holders, module)
        found = getattr(holder, name)
    except AttributeError as error:
        raise AdoptionError(f"{module.__name__} has no {path.attribute}") from error
    if inspect.isfunction(found) and (path.is_call or _required(found) == 0):
        adopted = _adopting(found, tell)
    elif path.is_call:
        raise AdoptionError(f"{path.attribute} is no plain function")
    else:
        adopted = _try_on(found, tell)
    if adopted is not found:
        setattr(holder, name, adopted)


def with_middleware(app: Any) -> Any:
    """Return the app with its middleware: itself where its framework takes one, else in a wrapper; never a second one.

    Raises:
        AdoptionError: this cannot be told to be an app, or it is one that has started.
    """
    for framework, name, add in _FRAMEWORKS:
        kind = getattr(sys.modules.get(framework), name, None)
        if kind is not None and isinstance(app, kind):
            add(app)
            return app
    if not callable(app) or isinstance(app, type):
        raise AdoptionError(f"a {type(app).__name__} is no app that a middleware is known for")
    required = _required(app)
    if required not in _PROTOCOLS:
        raise AdoptionError(f"cannot tell whether this {type(app).__name__} is a WSGI or an ASGI app")
    layers = list(_layers(app))
    for layer in layers:
        _let_django_lend(layer)
    return app if any(map(_is_ours, layers)) else _middleware(_PROTOCOLS[required])(app)


# --- what each framework takes --------------------------------------------------------------------------------------


def _add_to_flask(app: Any) -> None:
    if not any(map(_is_ours, _layers(app))):
        _middleware("flask")(app)


def _add_to_quart(app: Any) -> None:
    if not any(map(_is_ours, _layers(app))):
        app.asgi_app = _middleware("asgi")(app.asgi_app)


def _add_to_starlette(app: Any) -> None:
    ours = _middleware("asgi")
    if not any(middleware.cls is ours for middleware in app.user_middleware):
        try:
            app.add_middleware(ours)
        except RuntimeError as error:
            raise AdoptionError(str(error)) from error


def _add_to_aiohttp(app: Any) -> None:
    if any(map(_is_ours, app.middlewares)):
        return
    if app.frozen:
        raise AdoptionError("the application has started already")
    app.middlewares.insert(0, _middleware("aiohttp")())


def _let_django_lend(app: Any) -> None:
    """Put Django's middleware around all others of a handler: Django alone knows its routes."""
    base = sys.modules.get("django.core.handlers.base")
    if base is None or not isinstance(app, base.BaseHandler):
        return
    ours = _middleware("django")
    listed = sys.modules["django.conf"].settings.MIDDLEWARE
    chain: Any = getattr(app, "_middleware_chain", None)
    if chain is not None and not isinstance(chain, ours) and f"{ours.__module__}.{ours.__qualname__}" not in listed:
        # The handler has built its chain when it was made, and building it anew would make every middleware twice.
        app._middleware_chain = ours(chain)  # noqa: SLF001


_FRAMEWORKS: Final[tuple[tuple[str, str, Callable[[Any], None]], ...]] = (
    ("flask", "Flask", _add_to_flask),
    ("quart", "Quart", _add_to_quart),
    ("starlette.applications", "Starlette", _add_to_starlette),
    ("aiohttp.web", "Application", _add_to_aiohttp),
)
_PROTOCOLS: Final = {2: "wsgi", 3: "asgi"}
"""By the number of arguments: environ, start_response; or scope, receive, send."""


# --- looking at what is there ---------------------------------------------------------------------------------------


def _adopting(factory: Callable[..., Any], tell: Tell) -> Callable[..., Any]:
    """Return the factory with a middleware for whatever it makes."""
    if inspect.iscoroutinefunction(factory):

        @functools.wraps(factory)
        async def make_async(*args: Any, **kwargs: Any) -> Any:
            return _try_on(await factory(*args, **kwargs), tell)

        return make_async

    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> Any:
        return _try_on(factory(*args, **kwargs), tell)

    return make


def _try_on(app: Any, tell: Tell) -> Any:
    """Return the app with its middleware, or as it is where that fails: somebody waits for it."""
    try:
        adopted = with_middleware(app)
    except Exception as error:  # noqa: BLE001 - a framework may refuse in any way it likes
        tell(error)
        return app
    tell(None)
    return adopted


def _required(target: Callable[..., Any]) -> int | None:
    """Return how many positional arguments a call needs; None where nothing tells."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional and parameter.default is parameter.empty for parameter in parameters)


def _layers(app: Any) -> Iterator[Any]:
    """Yield an app and what it wraps, from outside to inside, as far as its attributes show it."""
    waiting = [app]
    for _ in range(_MAX_LAYERS):
        if not waiting:
            return
        layer = waiting.pop()
        yield layer
        held = getattr(layer, "__dict__", {})
        waiting += [held[name] for name in _INNER if name in held]
        mapping = held.get("application_mapping")  # Channels: by the type of the scope
        if isinstance(mapping, dict) and "http" in mapping:
            waiting.append(mapping["http"])


def _middleware(module: str) -> Any:
    """Return the middleware of a module, which is not imported before: each takes what its own kind of app takes."""
    return import_module(f"chronoprof_sidecar.client.{module}").ProfilingMiddleware


def _is_ours(layer: object) -> bool:
    return any(
        made.__name__ == "ProfilingMiddleware" and made.__module__.startswith("chronoprof_sidecar.client.")
        for made in type(layer).__mro__
    )
