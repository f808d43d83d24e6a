"""Every family of middlewares with a real profiler that ships to a real HTTP server; and the ends of real processes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from celery import Celery
from flask import Flask
from pytest_aiohttp import AiohttpClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from chronoprof_sidecar import client
from chronoprof_sidecar.client import Profiler, aiohttp, asgi, celery, wsgi
from tests.client.frameworks import served, test_falcon, test_pyramid
from tests.client.frameworks.recording import call_asgi, call_wsgi
from tests.client.scripted import KEY, ScriptedSidecar

ROOT = Path(__file__).parents[3]
N = 20


def test_wsgi_requests_arrive(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """What Flask answers is counted by the sidecar, errors too."""
    app = Flask(__name__)
    app.add_url_rule("/items/<int:n>", view_func=lambda n: (str(n), 503 if n % 2 else 200), endpoint="items")
    timed = wsgi.ProfilingMiddleware(app, profiler=profiler)
    for n in range(N):
        call_wsgi(timed, f"/items/{n}")
    assert profiler.flush(timeout=20)
    assert Counter({"GET /items/<int:n>": N}) == sidecar.calls
    assert Counter({"GET /items/<int:n>": N // 2}) == sidecar.errors


async def test_asgi_requests_arrive(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """What Starlette answers at the same time is counted by the sidecar, each with a time above zero."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse("fine")

    timed = asgi.ProfilingMiddleware(Starlette(routes=[Route("/items/{n}", answer)]), profiler=profiler)
    await asyncio.gather(*(call_asgi(timed, f"/items/{n}") for n in range(N)))
    assert profiler.flush(timeout=20)
    assert Counter({"GET /items/{n}": N}) == sidecar.calls
    assert all(item["min_ns"] > 0 for _, item in sidecar.items)


def test_pyramid_and_falcon_requests_arrive(
    profiler: Profiler, sidecar: ScriptedSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What frameworks with middlewares of their own answer is counted by the sidecar."""
    monkeypatch.setattr(client, "profiler", profiler)
    for app in (test_pyramid.site(), test_falcon.site("wsgi", profiler)):
        for path in ("/items/7", "/get/stream"):
            call_wsgi(app, path)
    assert profiler.flush(timeout=20)
    expected = {"GET /items/{item_id:[0-9]+}": 1, "GET /get/{kind}": 1, "GET <unmatched>": 2}
    assert Counter(expected) == sidecar.calls


async def test_aiohttp_requests_arrive(
    profiler: Profiler, sidecar: ScriptedSidecar, aiohttp_client: AiohttpClient
) -> None:
    """What aiohttp answers is counted by the sidecar."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    app = web.Application(middlewares=[aiohttp.ProfilingMiddleware(profiler=profiler)])
    app.router.add_get("/items/{n}", answer)
    fetcher = await aiohttp_client(app)
    for n in range(N):
        await (await fetcher.get(f"/items/{n}")).read()
    await fetcher.server.close()
    assert await asyncio.to_thread(profiler.flush, 20)
    assert Counter({"GET /items/{n}": N}) == sidecar.calls


def test_celery_tasks_arrive(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """What Celery runs is counted by the sidecar."""
    queue: Any = Celery("shop", set_as_current=False)
    queue.conf.task_always_eager = True
    queue.task(name="shop.add", shared=False)(served.add)
    middleware = celery.ProfilingMiddleware(queue, profiler=profiler)
    for _ in range(N):
        queue.tasks["shop.add"].delay(1, 2)
    middleware.disconnect()
    assert profiler.flush(timeout=20)
    assert Counter({"celery shop.add": N}) == sidecar.calls


# --- the ends of processes ------------------------------------------------------------------------------------------


@contextmanager
def process(command: list[str], sidecar: ScriptedSidecar, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run a server whose profiler would flush by itself once a minute; yield it and see that it is gone at the end."""
    shim = {
        "ENABLE_PROFILING": "true",
        "CHRONOPROF_URL": sidecar.url,
        "CHRONOPROF_API_KEY": KEY,
        "CHRONOPROF_FLUSH_INTERVAL": "60",
    }
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env={**os.environ, **shim, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def read_until(running: subprocess.Popen[str], found: Callable[[str], Any]) -> Any:
    """Read the process's output up to the line in which something is found, and return that."""
    assert running.stdout is not None
    lines = []
    for line in running.stdout:
        lines.append(line)
        if result := found(line):
            return result
    raise AssertionError("".join(lines))


@pytest.mark.parametrize(
    ("app", "path", "name"),
    [
        ("starlette", "/shop/acme/items/7", "GET /shop/{tenant}/items/{n}"),
        ("django", "/shop/acme/7", "GET /shop/<slug:tenant>/<int:n>"),
    ],
)
def test_uvicorns_last_requests_arrive(sidecar: ScriptedSidecar, app: str, path: str, name: str) -> None:
    """A uvicorn that is told to end ships first, and says farewell: for apps that speak lifespan and for Django."""
    command = ["uvicorn", "--port", "0", f"tests.client.frameworks.served:{app}"]
    with process(command, sidecar) as server:
        port = read_until(server, re.compile(r"running on http://127\.0\.0\.1:(\d+)").search).group(1)
        for _ in range(N):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as response:
                assert 200 == response.status
        server.send_signal(signal.SIGTERM)
        server.wait(20)
    assert Counter({name: N}) == sidecar.calls
    assert 1 == sidecar.finals


def test_celerys_last_tasks_arrive(sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """The processes of a prefork pool that is told to end ship first, and say farewell."""
    directory = tmp_path / "queue"
    for made in (directory, tmp_path / "queue-control"):
        made.mkdir()
    options = {**served.queue.conf.broker_transport_options, "data_folder_in": str(directory)}
    sender: Any = Celery("shop", broker="filesystem://", set_as_current=False)
    sender.conf.broker_transport_options = options | {
        "data_folder_out": str(directory),
        "control_folder": str(tmp_path / "queue-control"),
    }
    for n in range(N):
        sender.send_task("shop.add", (n, n))
    command = ["celery", "-A", "tests.client.frameworks.served:queue", "worker"]
    command += ["--pool", "prefork", "--concurrency", "2", "--loglevel", "INFO"]
    with process(command, sidecar, QUEUE_DIRECTORY=str(directory)) as worker:
        for _ in range(N):
            read_until(worker, lambda line: "succeeded" in line)
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=20)
    assert Counter({"celery shop.add": N}) == sidecar.calls
    assert sidecar.finals >= 1
