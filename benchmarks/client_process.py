"""One measured process: nanoseconds or CPU that one variant adds to a call. `bench_client` starts it for every round.

    python -m benchmarks.client_process timed --threads 4

Prints one JSON object. Wrapped and bare function are measured in alternation, and of the repetitions the smallest
counts: whatever else the machine does only ever adds. The garbage collector stays on, as in production. Requests are
measured in shorter turns and more of them: they take a hundred times as long as what the middleware adds to them.
"""

import argparse
import asyncio
import importlib
import json
import threading
import time
from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, Final

from benchmarks.client_variants import GENERIC, VARIANTS, Function, work, work_async

REPETITIONS: Final = 7
SECONDS_A_REPETITION: Final = 0.06
GENERIC_BRIEFLY: Final = "generic-briefly"
REQUEST_REPETITIONS: Final = 150
SECONDS_OF_REQUESTS: Final = 0.004
CPU_CALLS: Final = 1_000_000


def time_calls(function: Function, calls: int) -> float:
    """Return the seconds that so many calls in a row take."""
    cart = object()
    started = time.perf_counter()
    for _ in repeat(None, calls):
        function(cart)
    return time.perf_counter() - started


def time_async_calls(function: Function, calls: int) -> float:
    """Return the seconds that so many awaited calls in a row take."""

    async def run() -> float:
        cart = object()
        started = time.perf_counter()
        for _ in repeat(None, calls):
            await function(cart)
        return time.perf_counter() - started

    return asyncio.run(run())


def time_in_threads(threads: int) -> Callable[[Function, int], float]:
    """Return what times calls that are spread over threads."""

    def time_spread(function: Function, calls: int) -> float:
        barrier = threading.Barrier(threads + 1)

        def run() -> None:
            cart = object()
            barrier.wait()
            for _ in repeat(None, calls // threads):
                function(cart)
            barrier.wait()

        running = [threading.Thread(target=run) for _ in range(threads)]
        for thread in running:
            thread.start()
        barrier.wait()
        started = time.perf_counter()
        barrier.wait()
        passed = time.perf_counter() - started
        for thread in running:
            thread.join()
        return passed

    return time_spread


def added_ns(
    bare: Function,
    wrapped: Function,
    measure: Callable[[Function, int], float],
    repetitions: int = REPETITIONS,
    seconds: float = SECONDS_A_REPETITION,
) -> float:
    """Return the nanoseconds that wrapping adds to one call."""
    measure(wrapped, 200)
    calls = max(1, round(seconds / (measure(wrapped, 2000) / 2000)))
    times = [(measure(wrapped, calls), measure(bare, calls)) for _ in range(repetitions)]
    return (min(each for each, _ in times) - min(each for _, each in times)) / calls * 1e9


def cpu_ns_a_call(calls: int) -> float:
    """Return the CPU nanoseconds that our `timed` costs a call, folding and sending until acknowledged included."""
    profiler = importlib.import_module("chronoprof_sidecar.client").profiler
    timed = profiler.timed(work)
    timed(object())
    profiler.flush(10.0)
    before = time.process_time()
    time_calls(timed, calls)
    if not profiler.flush(30.0):
        raise RuntimeError(f"not all calls were acknowledged: {profiler.stats()}")
    with_timing = time.process_time() - before
    before = time.process_time()
    time_calls(work, calls)
    return (with_timing - (time.process_time() - before)) / calls * 1e9


def middleware_ns(kind: str) -> float:
    """Return the nanoseconds that our middleware adds to one request of a Starlette or Flask app, without a network."""
    calls = _asgi_calls() if kind == "asgi" else _wsgi_calls()
    return added_ns(*calls, REQUEST_REPETITIONS, SECONDS_OF_REQUESTS)


def _asgi_calls() -> tuple[Function, Function, Callable[[Function, int], float]]:
    from starlette.applications import Starlette  # noqa: PLC0415  only where it is measured
    from starlette.responses import PlainTextResponse  # noqa: PLC0415
    from starlette.routing import Route  # noqa: PLC0415

    from chronoprof_sidecar.client.asgi import ProfilingMiddleware  # noqa: PLC0415

    async def get_item(_request: object) -> PlainTextResponse:
        return PlainTextResponse("item")

    def make_app() -> Starlette:
        return Starlette(routes=[Route("/items/{item}", get_item)])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message: object) -> None:
        return

    def call(app: Any) -> Function:
        async def request(_cart: object) -> None:
            path = "/items/1"
            scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
            scope |= {"headers": [(b"host", b"a")], "root_path": "", "scheme": "http", "server": ("a", 80)}
            await app(scope, receive, send)

        return request

    return call(make_app()), call(ProfilingMiddleware(make_app())), time_async_calls


def _wsgi_calls() -> tuple[Function, Function, Callable[[Function, int], float]]:
    from flask import Flask  # noqa: PLC0415  only where it is measured
    from werkzeug.test import create_environ  # noqa: PLC0415

    from chronoprof_sidecar.client.wsgi import ProfilingMiddleware  # noqa: PLC0415

    environ = create_environ("/items/1")

    def make_app() -> Flask:
        app = Flask("bench")
        app.add_url_rule("/items/<item>", view_func=lambda item: item, endpoint="item")
        return app

    def call(app: Any) -> Function:
        def request(_cart: object) -> None:
            body: Iterable[bytes] = app(dict(environ), lambda *_: lambda _: None)
            for _ in body:
                pass
            if close := getattr(body, "close", None):
                close()

        return request

    return call(make_app()), call(ProfilingMiddleware(make_app())), time_calls


def measure(name: str, threads: int) -> float:
    """Return the nanoseconds that one variant, or one of our special cases, adds."""
    if name in {"cpu", "cpu-numpy"}:
        if name == "cpu-numpy":
            importlib.import_module("numpy")
        return cpu_ns_a_call(CPU_CALLS)
    if name in {"asgi", "wsgi"}:
        return middleware_ns(name)
    if name == GENERIC_BRIEFLY:
        return added_ns(work, VARIANTS[GENERIC].wrap(work), time_calls, REQUEST_REPETITIONS, SECONDS_OF_REQUESTS)
    variant = VARIANTS[name]
    bare: Function = work_async if variant.is_async else work
    how = time_async_calls if variant.is_async else time_calls if threads == 1 else time_in_threads(threads)
    return added_ns(bare, variant.wrap(bare), how)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps({"ns": measure(arguments.name, arguments.threads)}), flush=True)


if __name__ == "__main__":
    main()
