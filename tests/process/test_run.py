"""Apps that know nothing of chronoprof, run by `chronoprof run` under their real servers, beside a real sidecar."""

import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.hosts.counting import load
from tests.process.app_server import ROOT, AppServer
from tests.process.sidecar import Sidecar

REQUESTS = 40


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar for all of these tests."""
    running = Sidecar(tmp_path_factory.mktemp("sidecar")).start()
    yield running
    running.close()


@pytest.fixture
def sidecar(started: Sidecar) -> Sidecar:
    """A running sidecar with an empty table."""
    assert 204 == started.request("POST", "/api/v1/profiling/reset")[0]
    return started


SERVICES = """
    import asyncio

    def price(item):
        return item

    async def find(item):
        await asyncio.sleep(0)
        return Repo().load(item)

    class Repo:
        def load(self, item):
            return price(item)
"""
SYNC = ("shop.services.Repo.load", "shop.services.price")
ASYNC = ("shop.services.find", *SYNC)
FLASK = """
    from flask import Flask
    from shop.services import Repo

    app = Flask(__name__)

    @app.get("/items/<int:item>")
    def get_item(item):
        return {"item": Repo().load(item)}

    def create_app():
        return app
"""
STARLETTE = """
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from shop.services import find

    async def get_item(request):
        return JSONResponse(await find(request.path_params["item"]))

    app = Starlette(routes=[Route("/items/{item:int}", get_item)])
"""
FASTAPI = """
    from fastapi import FastAPI
    from shop.services import find

    app = FastAPI()

    @app.get("/items/{item}")
    async def get_item(item: int):
        return await find(item)
"""
DJANGO = """
    import os
    import sys
    os.environ["DJANGO_SETTINGS_MODULE"] = "shop.web"
    SECRET_KEY, ALLOWED_HOSTS, ROOT_URLCONF, MIDDLEWARE = "of the tests", ["*"], "shop.web", []

    from django.http import JsonResponse
    from django.urls import path
    from shop.services import Repo

    def get_item(request, item):
        return JsonResponse({"item": Repo().load(item)})

    urlpatterns = [path("items/<int:item>", get_item)]

    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application

    app = get_wsgi_application()
    asgi_app = get_asgi_application()
"""
AIOHTTP = """
    from aiohttp import web
    from shop.services import find

    async def get_item(request):
        return web.json_response(await find(int(request.match_info["item"])))

    def create_app():
        app = web.Application()
        app.router.add_get("/items/{item}", get_item)
        return app

    def main(port):
        web.run_app(create_app(), host="127.0.0.1", port=port, print=None)
"""


class Untouched(AppServer):
    """A server that `chronoprof run` starts with an app that knows nothing of chronoprof."""

    def __init__(self, sidecar: Sidecar, directory: Path, web: str, command: list[str], *flags: str) -> None:
        package = directory / "app" / "shop"
        package.mkdir(parents=True)
        for name, text in {"__init__": "", "services": SERVICES, "web": web}.items():
            (package / f"{name}.py").write_text(textwrap.dedent(text))

        def line(port: int) -> list[str]:
            filled = [argument.format(port=port) for argument in command]
            return [sys.executable, "-m", "chronoprof_sidecar", "run", *flags, "--", sys.executable, *filled]

        super().__init__(sidecar, directory, line, PYTHONPATH=f"{package.parent}:{ROOT}")


FACTORY = "shop.web:create_app()"


def gunicorn(*arguments: str, app: str = "shop.web:app") -> list[str]:
    return ["-m", "gunicorn", "--bind=127.0.0.1:{port}", "--no-control-socket", "--workers=2", *arguments, app]


def uvicorn(*arguments: str, app: str = "shop.web:app") -> list[str]:
    return ["-m", "uvicorn", "--port={port}", *arguments, app]


def uwsgi() -> list[str]:
    serving = ["--http-socket=127.0.0.1:{port}", "--module=shop.web:app", "--disable-logging"]
    # By itself, SIGTERM kills a worker that is still in the tail of a request, and no exit hook runs.
    graceful = "--hook-master-start=unix_signal:15 gracefully_kill_them_all"
    master = ["--master", "--processes=2", "--enable-threads", graceful]
    return ["-c", "from pyuwsgi import run; run()", *serving, *master]


CASES = {
    "gunicorn": (FLASK, gunicorn(), "app", "<int:item>", SYNC),
    "gunicorn preload": (FLASK, gunicorn("--preload", app=FACTORY), "create_app()", "<int:item>", SYNC),
    "gunicorn django": (DJANGO, gunicorn(), "app", "<int:item>", SYNC),
    "uvicorn workers": (STARLETTE, uvicorn("--workers=2"), "app", "{{item:int}}", ASYNC),
    "uvicorn fastapi": (FASTAPI, uvicorn(), "app", "{{item}}", ASYNC),
    "uvicorn django": (DJANGO, uvicorn(app="shop.web:asgi_app"), "asgi_app", "<int:item>", SYNC),
    "uwsgi": (FLASK, uwsgi(), "app", "<int:item>", SYNC),
    "aiohttp": (AIOHTTP, ["-c", "from shop.web import main; main({port})"], "create_app", "{{item}}", ASYNC),
}


@pytest.mark.parametrize("case", CASES)
def test_every_call_of_an_untouched_app_is_counted_once(sidecar: Sidecar, tmp_path: Path, case: str) -> None:
    """Endpoints, functions and methods have the rows that they would have if the app's code named them, and no other.

    Two patterns overlap, and count once; nothing is said, and every process says farewell.
    """
    if case == "uwsgi":
        pytest.importorskip("pyuwsgi")
    web, command, app, route, functions = CASES[case]
    flags = ["--instrument=shop.services:*", "--instrument=shop.*:Repo.*", f"--middleware=shop.web:{app}"]
    with closing(Untouched(sidecar, tmp_path, web, command, *flags)) as server:
        answered = load(server, REQUESTS)
        server.stop()
    names = (f"GET /items/{route.format()}", *functions)
    assert dict.fromkeys(names, answered) == sidecar.calls(), server.log()
    assert "chronoprof: " not in server.log()
    assert "Traceback" not in server.log(), server.log()
    assert {True} == {sender["final"] for sender in sidecar.senders()}


def test_a_master_and_its_workers_say_once_what_matched_nothing(sidecar: Sidecar, tmp_path: Path) -> None:
    """Of gunicorn's processes one speaks, whether it is a module or a function that is missing."""
    flags = ["--instrument=shop.services:pirce", "--instrument=shop.servces:*", "--middleware=shop.web:ap"]
    with closing(Untouched(sidecar, tmp_path, FLASK, gunicorn(), *flags)) as server:
        load(server, REQUESTS)
        server.stop()
    assert [
        "chronoprof: instrument 'shop.servces:*': matched nothing, shop.servces was never imported",
        "chronoprof: instrument 'shop.services:pirce': no function of shop.services has such a name",
        "chronoprof: middleware 'shop.web:ap': shop.web has no ap",
    ] == sorted(line for line in server.log().splitlines() if line.startswith("chronoprof: "))
    assert {} == sidecar.calls()
