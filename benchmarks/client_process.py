"""One measured process: what one variant adds to a call, and what another adds, measured in turns beside each other.

    python -m benchmarks.client_process timed --beside generic

Prints one JSON object: nanoseconds of either. A machine that is shared changes its speed within seconds, so a ratio is
of two things that took turns in one process; wrapped and bare function alternate, and of the repetitions the smallest
counts: whatever else the machine does only ever adds. The garbage collector stays on, as in production. Requests are
measured in shorter turns and more of them: they take a hundred times as long as what the middleware adds to them.
"""

import argparse
import asyncio
import importlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final, NamedTuple

from benchmarks.client_variants import VARIANTS, Function, work, work_async

Measure = Callable[[Function, int], float]
"""Takes a function and a number of calls, and returns the seconds that they took."""


class Pace(NamedTuple):
    """How often, and for how long, one function is called in its turn."""

    repetitions: int = 15
    seconds: float = 0.03


class Subject(NamedTuple):
    """A function as it is and as it is timed, and how its calls are measured."""

    bare: Function
    wrapped: Function
    measure: Measure
    pace: Pace = Pace()


PACE_OF_REQUESTS: Final = Pace(150, 0.004)
PACE_OF_CPU: Final = Pace(5, 0.3)


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


def time_in_threads(threads: int) -> Measure:
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


def cpu_until_acknowledged(function: Function, calls: int) -> float:
    """Return the CPU seconds of so many calls, with the folding and sending of what they recorded."""
    profiler = importlib.import_module("chronoprof_sidecar.client").profiler
    before = time.process_time()
    time_calls(function, calls)
    if not profiler.flush(30.0):
        raise RuntimeError(f"not all calls were acknowledged: {profiler.stats()}")
    return time.process_time() - before


def added_ns(subjects: Sequence[Subject], pace: Pace) -> list[float]:
    """Return the nanoseconds that wrapping adds to one call of each subject, all of them measured in turns."""
    calls = [_calls_for(subject, pace.seconds) for subject in subjects]
    rounds = [
        [
            (subject.measure(subject.wrapped, count) / count, subject.measure(subject.bare, count) / count)
            for subject, count in zip(subjects, calls, strict=True)
        ]
        for _ in range(pace.repetitions)
    ]
    return [
        1e9 * (min(wrapped for wrapped, _ in turns) - min(bare for _, bare in turns))
        for turns in zip(*rounds, strict=True)
    ]


def _calls_for(subject: Subject, seconds: float) -> int:
    subject.measure(subject.wrapped, 200)
    return max(1, round(seconds / (subject.measure(subject.wrapped, 2000) / 2000)))


def _asgi_subject() -> Subject:
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

    return Subject(call(make_app()), call(ProfilingMiddleware(make_app())), time_async_calls, PACE_OF_REQUESTS)


def _wsgi_subject() -> Subject:
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

    return Subject(call(make_app()), call(ProfilingMiddleware(make_app())), time_calls, PACE_OF_REQUESTS)


def _cpu_subject(*, numpy: bool) -> Subject:
    if numpy:
        importlib.import_module("numpy")
    return Subject(work, VARIANTS["timed"].wrap(work), cpu_until_acknowledged, PACE_OF_CPU)


SPECIAL: Final[dict[str, Callable[[], Subject]]] = {
    "cpu": lambda: _cpu_subject(numpy=False),
    "cpu-numpy": lambda: _cpu_subject(numpy=True),
    "asgi": _asgi_subject,
    "wsgi": _wsgi_subject,
}


def subject_of(name: str, threads: int) -> Subject:
    """Return a variant, or one of our special cases, ready to be measured."""
    if name in SPECIAL:
        return SPECIAL[name]()
    variant = VARIANTS[name]
    bare: Function = work_async if variant.is_async else work
    how = time_async_calls if variant.is_async else time_calls if threads == 1 else time_in_threads(threads)
    return Subject(bare, variant.wrap(bare), how)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description="What one variant adds to a call, and what another does beside it.")
    parser.add_argument("name")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--beside", required=True)
    arguments = parser.parse_args()
    subject = subject_of(arguments.name, arguments.threads)
    ours, beside = added_ns([subject, subject_of(arguments.beside, 1)], subject.pace)
    print(json.dumps({"ns": ours, "beside_ns": beside}), flush=True)


if __name__ == "__main__":
    main()
