"""App objects of every framework, and functions that make them, are given their middleware from outside."""

import asyncio
import os
from collections.abc import Callable, Iterable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from chronoprof_sidecar import client
from chronoprof_sidecar.client import aiohttp, asgi, wsgi
from chronoprof_sidecar.client import flask as flask_middleware
from chronoprof_sidecar.client.adoption import AdoptionError, adopt
from chronoprof_sidecar.client.django import ProfilingMiddleware as DjangoMiddleware
from chronoprof_sidecar.client.patterns import parse_app_path
from tests.client.frameworks.recording import Recorder, Sample, call_asgi, call_wsgi

# Django's settings are one per process and named by the environment.
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.client.frameworks.django_site"

import django
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from fastapi import FastAPI
from flask import Flask
from litestar import Litestar, get
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route


@pytest.fixture(autouse=True)
def installed(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the recorder the default profiler, which is the one that is used from outside."""
    monkeypatch.setattr(client, "profiler", recorder)
    django.setup()


def adopted(app: Any, path: str = "app") -> tuple[Any, list[Exception | None]]:
    """Return what stands in a module in place of an app after its adoption, and what was told of it."""
    module = ModuleType("shop")
    module.app = app  # type: ignore[attr-defined]
    told: list[Exception | None] = []
    adopt(module, parse_app_path(f"shop:{path}"), told.append)
    return module.app, told


# --- apps -----------------------------------------------------------------------------------------------------------


def make_flask() -> Flask:
    app = Flask("shop")
    app.add_url_rule("/items/<int:n>", view_func=lambda n: f"{n}", endpoint="item")
    return app


async def answer_item(request: Request) -> PlainTextResponse:
    return PlainTextResponse("fine")


def make_starlette() -> Starlette:
    return Starlette(routes=[Route("/items/{n:int}", answer_item)])


def make_fastapi() -> FastAPI:
    app = FastAPI()
    app.add_api_route("/items/{n}", lambda n: n)
    return app


def make_quart() -> Quart:
    app = Quart("shop")

    async def item(n: int) -> str:
        return f"{n}"

    app.add_url_rule("/items/<int:n>", view_func=item)
    return app


@get("/items/{n:int}")
async def litestar_item() -> str:
    return "fine"


def make_litestar() -> Litestar:
    return Litestar([litestar_item], logging_config=None)  # else it sets the logging of the whole process up


def plain_wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"fine"]


async def plain_asgi(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


class WSGILayer:
    """A middleware of somebody else, such as WhiteNoise."""

    def __init__(self, application: Any) -> None:
        self.application = application

    def __call__(self, environ: Any, start_response: Any) -> Any:
        return self.application(environ, start_response)


class ASGILayer:
    """A middleware of somebody else that is typed by hand: a plain function that returns what is to be awaited."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return self.app(scope, receive, send)


def make_django_wsgi() -> Any:
    return get_wsgi_application()


def make_django_asgi() -> Any:
    return get_asgi_application()


UNMATCHED = "GET <unmatched>"
DJANGO = "GET /items/<int:item_id>"
WSGI_APPS = [
    (make_flask, "GET /items/<int:n>"),
    (lambda: WSGILayer(make_flask()), "GET /items/<int:n>"),
    (lambda: plain_wsgi, UNMATCHED),
    (make_django_wsgi, DJANGO),
    (lambda: WSGILayer(make_django_wsgi()), DJANGO),
]
ASGI_APPS = [
    (make_starlette, "GET /items/{n:int}"),
    (make_fastapi, "GET /items/{n}"),
    (make_quart, "GET /items/<int:n>"),
    (make_litestar, "GET /items/{n}"),
    (lambda: ASGILayer(make_starlette()), "GET /items/{n:int}"),
    (lambda: plain_asgi, UNMATCHED),
    (make_django_asgi, DJANGO),
    (lambda: ASGILayer(make_django_asgi()), DJANGO),
]


@pytest.fixture(params=["without", "with"])
def django_settings(request: pytest.FixtureRequest) -> Any:
    """A Django site whose own settings list no middleware, and one where they list ours."""
    middleware = ["chronoprof_sidecar.client.django.ProfilingMiddleware"] if request.param == "with" else []
    with override_settings(MIDDLEWARE=middleware):
        yield


@pytest.mark.usefixtures("django_settings")
@pytest.mark.parametrize(("make", "name"), WSGI_APPS)
def test_a_wsgi_app_is_timed_under_its_routes(recorder: Recorder, make: Callable[[], Any], name: str) -> None:
    """One request is one call, under the template of its route where the framework has one."""
    app, told = adopted(make())

    assert 200 == call_wsgi(app, "/items/7").status
    assert [Sample(name)] == recorder.samples
    assert [None] == told


@pytest.mark.usefixtures("django_settings")
@pytest.mark.parametrize(("make", "name"), ASGI_APPS)
def test_an_asgi_app_is_timed_under_its_routes(recorder: Recorder, make: Callable[[], Any], name: str) -> None:
    """One request is one call, under the template of its route where the framework has one."""
    app, told = adopted(make())

    assert 200 == asyncio.run(call_asgi(app, "/items/7")).status
    assert [Sample(name)] == recorder.samples
    assert [None] == told


async def test_an_aiohttp_application_is_timed_under_its_routes(recorder: Recorder) -> None:
    """One request is one call, around the app's own middlewares."""
    app, told = adopted(make_aiohttp())

    async with TestClient(TestServer(app)) as http:
        assert 200 == (await http.get("/items/7")).status
        assert isinstance(app.middlewares[0], aiohttp.ProfilingMiddleware)
    assert [Sample("GET /items/{n}")] == recorder.samples
    assert [None] == told


def make_aiohttp() -> web.Application:
    async def item(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    @web.middleware
    async def own(request: web.Request, handler: Any) -> Any:
        return await handler(request)

    app = web.Application(middlewares=[own])
    app.router.add_get("/items/{n}", item)
    return app


@pytest.mark.parametrize("make", [make_flask, make_starlette, make_fastapi, make_quart, make_aiohttp])
def test_an_app_with_a_place_for_middlewares_stays_the_object_that_it_is(make: Callable[[], Any]) -> None:
    """Whoever imports it from the module gets the framework's own."""
    app = make()

    assert app is adopted(app)[0]


# --- never twice ----------------------------------------------------------------------------------------------------


def flask_from_inside() -> Any:
    app = make_flask()
    flask_middleware.ProfilingMiddleware(app)
    return app


def flask_by_hand() -> Any:
    app = make_flask()
    app.wsgi_app = wsgi.ProfilingMiddleware(app.wsgi_app)  # type: ignore[method-assign]
    return app


def starlette_from_inside() -> Any:
    app = make_starlette()
    app.add_middleware(asgi.ProfilingMiddleware)
    return app


def quart_by_hand() -> Any:
    app = make_quart()
    app.asgi_app = asgi.ProfilingMiddleware(app.asgi_app)  # type: ignore[method-assign]
    return app


def aiohttp_from_inside() -> Any:
    return web.Application(middlewares=[aiohttp.ProfilingMiddleware()])


@pytest.mark.parametrize(
    "make",
    [
        flask_from_inside,
        flask_by_hand,
        starlette_from_inside,
        quart_by_hand,
        aiohttp_from_inside,
        lambda: wsgi.ProfilingMiddleware(make_flask()),
        lambda: WSGILayer(wsgi.ProfilingMiddleware(plain_wsgi)),
        lambda: ASGILayer(asgi.ProfilingMiddleware(make_starlette())),
        lambda: adopted(plain_asgi)[0],
        lambda: adopted(make_flask())[0],
    ],
)
def test_an_app_that_has_its_middleware_is_left_alone(make: Callable[[], Any]) -> None:
    """Nothing is added to it, and nothing put around it."""
    app = make()
    before = middlewares_of(app)

    assert (app, [None]) == adopted(app)
    assert before == middlewares_of(app)


def middlewares_of(app: Any) -> list[Any]:
    return [getattr(app, name, None) for name in ("wsgi_app", "asgi_app")] + [
        list(getattr(app, name, ())) for name in ("user_middleware", "middlewares")
    ]


@pytest.mark.parametrize(
    ("listed", "added"), [([], True), ([f"{DjangoMiddleware.__module__}.ProfilingMiddleware"], False)]
)
def test_django_lends_its_routes_once(listed: list[str], added: bool) -> None:
    """A site whose settings list the middleware has it in its chain, and needs no second one around that."""
    with override_settings(MIDDLEWARE=listed):
        app, _ = adopted(adopted(make_django_wsgi())[0])

    chain = app.app._middleware_chain
    assert added == isinstance(chain, DjangoMiddleware)
    assert not (added and isinstance(chain._get_response, DjangoMiddleware))


# --- factories ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["app", "app()"])
def test_a_factory_makes_apps_with_a_middleware(recorder: Recorder, path: str) -> None:
    """Each app that it makes is timed, and the factory looks as before."""
    factory, told = adopted(make_flask, path)
    assert [] == told
    assert "make_flask" == factory.__name__

    for app in (factory(), factory()):
        call_wsgi(app, "/items/7")

    assert [Sample("GET /items/<int:n>")] * 2 == recorder.samples
    assert [None, None] == told


def test_a_factory_that_takes_arguments_is_one_where_it_is_called_one(recorder: Recorder) -> None:
    """`create_app(environment, region)` looks like a WSGI app, but for the parentheses."""

    def create_app(environment: str, region: str) -> Flask:
        return make_flask()

    factory, _ = adopted(create_app, "app()")

    call_wsgi(factory("test", region="here"), "/items/7")
    assert [Sample("GET /items/<int:n>")] == recorder.samples


async def test_a_factory_may_be_a_coroutine() -> None:
    """As aiohttp's may."""

    async def create_app() -> web.Application:
        return make_aiohttp()

    factory, told = adopted(create_app)
    app = await factory()

    assert isinstance(app.middlewares[0], aiohttp.ProfilingMiddleware)
    assert [None] == told


def test_a_factory_of_something_else_goes_on_making_it() -> None:
    """What it makes comes back as it is, and it is said."""
    factory, told = adopted(lambda: "no app", "app()")

    assert "no app" == factory()
    assert ["a str is no app that a middleware is known for"] == list(map(str, told))


# --- what cannot be recognised --------------------------------------------------------------------------------------


class Anything:
    """May be called in every way."""

    def __call__(self, *args: Any) -> Any:
        """Answer."""


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (["a list"], "a list is no app that a middleware is known for"),
        (Flask, "a type is no app that a middleware is known for"),
        (lambda one: one, "cannot tell whether this function is a WSGI or an ASGI app"),
        (Anything(), "cannot tell whether this Anything is a WSGI or an ASGI app"),
    ],
)
def test_what_is_no_app_is_left_as_it_is_and_said(app: Any, reason: str) -> None:
    """Nothing is guessed."""
    found, told = adopted(app)

    assert app is found
    assert [reason] == list(map(str, told))


def test_an_application_that_has_started_is_left_as_it_is_and_said() -> None:
    """Its middlewares are fixed."""
    started = make_aiohttp()
    started.freeze()
    running = make_starlette()
    running.middleware_stack = running.build_middleware_stack()

    assert ["the application has started already"] == list(map(str, adopted(started)[1]))
    assert ["Cannot add middleware after an application has started"] == list(map(str, adopted(running)[1]))


def test_an_app_may_be_held_by_an_object(recorder: Recorder) -> None:
    """`shop:site.app`, as app servers take it."""
    holder, told = adopted(SimpleNamespace(app=plain_wsgi), "app.app")

    call_wsgi(holder.app, "/")
    assert [Sample(UNMATCHED)] == recorder.samples
    assert [None] == told


@pytest.mark.parametrize("path", ["absent", "app.absent", "app()"])
def test_an_app_that_is_not_there_is_an_error(path: str) -> None:
    """The error names what is missing, or is no function to call."""
    with pytest.raises(AdoptionError, match=r"shop has no |app is no plain function"):
        adopted(SimpleNamespace(), path)
