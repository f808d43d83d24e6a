"""The ASGI middleware with bare apps: what passes through, how requests end, and the lifespan."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from chronoprof_sidecar.client.asgi import ProfilingMiddleware
from chronoprof_sidecar.client.lifespan import close_off_loop
from chronoprof_sidecar.protocol import CLIENT_HEADER
from tests.client.frameworks.recording import Recorder, Sample, bare, call_asgi

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


async def greet(scope: Any, receive: Any, send: Send) -> None:
    """Answer 200 in one chunk."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("path", ["/", "/secret", "/a/b"])
async def test_an_app_without_routes_is_one_name(recorder: Recorder, path: str) -> None:
    """Where nothing tells the route, the path is not the name."""
    await call_asgi(ProfilingMiddleware(greet, profiler=recorder), path)
    assert [Sample("GET <unmatched>")] == recorder.samples


async def test_not_enabled_is_not_there() -> None:
    """Switched off, the app gets the very scope, receive and send of the server, for requests and lifespan alike."""
    got: list[tuple[Any, Any, Any]] = []

    async def app(*server: Any) -> None:
        got.append(server)

    off = Recorder(enabled=False)
    middleware = ProfilingMiddleware(app, profiler=off)
    servers: list[tuple[Any, Any, Any]] = [({"type": kind}, object(), object()) for kind in ("http", "lifespan")]
    for scope, receive, send in servers:
        await middleware(scope, receive, send)
    assert [[id(part) for part in server] for server in servers] == [[id(part) for part in server] for server in got]
    assert all(bare(scope) for scope, _, _ in got)
    assert [] == off.samples
    assert [] == off.close_timeouts


async def test_the_shims_own_requests_are_not_timed(recorder: Recorder) -> None:
    """A request that carries the shim's header passes through: nothing feeds on itself."""
    app = ProfilingMiddleware(greet, profiler=recorder)
    assert 200 == (await call_asgi(app, "/", "POST", [("Accept", "*/*"), (CLIENT_HEADER, "1")])).status
    assert [] == recorder.samples


async def test_wrapped_twice_is_timed_once(recorder: Recorder) -> None:
    """The outermost middleware times a request, inner ones leave it alone."""
    await call_asgi(ProfilingMiddleware(ProfilingMiddleware(greet, profiler=recorder), profiler=recorder), "/")
    assert 1 == len(recorder.samples)


async def test_what_follows_the_last_chunk_is_neither_timed_nor_an_error(recorder: Recorder) -> None:
    """An app that fails after its answer is complete has answered."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await greet(scope, receive, send)
        raise LookupError

    with pytest.raises(LookupError):
        await call_asgi(ProfilingMiddleware(app, profiler=recorder), "/")
    assert [Sample("GET <unmatched>")] == recorder.samples


async def test_an_app_that_never_answers_is_an_error(recorder: Recorder) -> None:
    """A server answers 500 for an app that returns without an answer."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        return

    with pytest.raises(IndexError):
        await call_asgi(ProfilingMiddleware(app, profiler=recorder), "/")
    assert [Sample("GET <unmatched>", True)] == recorder.samples


async def test_an_answer_that_the_client_does_not_wait_for_is_recorded(recorder: Recorder) -> None:
    """An app that stops in the middle of the body, without an exception, is no error."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hel", "more_body": True})

    await call_asgi(ProfilingMiddleware(app, profiler=recorder), "/")
    assert [Sample("GET <unmatched>")] == recorder.samples


async def test_cancelled_requests_count(recorder: Recorder) -> None:
    """A request that is cancelled is recorded, as an error, and stays cancelled."""
    started = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Send) -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(call_asgi(ProfilingMiddleware(app, profiler=recorder), "/"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [Sample("GET <unmatched>", True)] == recorder.samples


async def test_messages_between_start_and_body_do_not_end_a_request(recorder: Recorder) -> None:
    """Only a body's last chunk ends the answer, not a hint or a trailer that some servers take."""
    counts: list[int] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        for message in (
            {"type": "http.response.early_hint", "links": []},
            {"type": "http.response.start", "status": 200, "headers": [], "trailers": True},
            {"type": "http.response.body", "body": b"a", "more_body": True},
            {"type": "http.response.body", "body": b"b"},
            {"type": "http.response.trailers", "headers": []},
        ):
            await send(message)
            counts.append(len(recorder.samples))

    await call_asgi(ProfilingMiddleware(app, profiler=recorder), "/")
    assert [0, 0, 0, 1, 1] == counts


async def test_a_scope_that_cannot_be_read_costs_the_name_alone(recorder: Recorder) -> None:
    """A framework that puts something else where its route used to be does not break a request."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        scope["endpoint"] = scope["route"] = scope["router"] = scope["app_root_path"] = 7
        await greet(scope, receive, send)

    assert 200 == (await call_asgi(ProfilingMiddleware(app, profiler=recorder), "/")).status
    assert [Sample("GET <unmatched>")] == recorder.samples


# --- lifespan -------------------------------------------------------------------------------------------------------


class Server:
    """Runs the lifespan of an app as uvicorn does: startup, shutdown, and a log of the order of things."""

    def __init__(self, recorder: Recorder) -> None:
        self.log: list[str] = []
        self._incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        self._recorder = recorder

    async def receive(self) -> Message:
        """Hand out startup, then shutdown."""
        message = self._incoming.pop(0)
        self.log.append(f"server: {message['type']}")
        return message

    async def send(self, message: Message) -> None:
        """Note what the app says, and how often the profiler was closed by then."""
        self.log.append(f"app: {message['type']} after {len(self._recorder.close_timeouts)} closes")

    async def run(self, app: Any) -> list[str]:
        """Run the app's lifespan and return the log."""
        await ProfilingMiddleware(app, profiler=self._recorder)({"type": "lifespan"}, self.receive, self.send)
        return self.log


COMPLETE = [
    "server: lifespan.startup",
    "app: lifespan.startup.complete after 0 closes",
    "server: lifespan.shutdown",
    "app: lifespan.shutdown.complete after 1 closes",
]


async def answers(scope: Any, receive: Any, send: Send) -> None:
    """Do as the specification asks."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def refuses(scope: Any, receive: Any, send: Send) -> None:
    """Raise, as Django does."""
    raise ValueError(f"can only handle http, not {scope['type']}")


async def ignores(scope: Any, receive: Any, send: Send) -> None:
    """Return at once."""


async def listens(scope: Any, receive: Any, send: Send) -> None:
    """Return without an answer."""
    await receive()


@pytest.mark.parametrize("app", [answers, refuses, ignores, listens])
async def test_the_profiler_is_closed_before_the_end_of_the_shutdown(recorder: Recorder, app: Any) -> None:
    """Whether an app answers lifespan, refuses or ignores it: the server hears of the end after one close."""
    assert COMPLETE == await Server(recorder).run(app)
    assert [2.0] == recorder.close_timeouts


async def test_a_failed_startup_stays_one(recorder: Recorder) -> None:
    """An app that fails to start fails to start: the middleware does not answer for it."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await receive()
        raise LookupError

    server = Server(recorder)
    with pytest.raises(LookupError):
        await server.run(app)
    assert ["server: lifespan.startup"] == server.log


async def test_an_app_that_leaves_its_shutdown_unanswered_is_closed(recorder: Recorder) -> None:
    """Shipping does not hang on the app's last word."""

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()

    assert COMPLETE[:3] == await Server(recorder).run(app)
    assert [2.0] == recorder.close_timeouts


async def test_the_loop_goes_on_while_it_closes(recorder: Recorder) -> None:
    """The close waits in a thread of its own: it ends here by what the loop does meanwhile."""
    release = threading.Event()

    class Slow(Recorder):
        def close(self, *, timeout: float) -> bool:
            assert release.wait(60)
            return super().close(timeout=timeout)

    slow = Slow()
    asyncio.get_running_loop().call_soon(release.set)
    await close_off_loop(slow)
    assert [2.0] == slow.close_timeouts


def test_without_asyncio_it_closes_in_place(recorder: Recorder) -> None:
    """Under another event loop the close happens where it is called."""
    with pytest.raises(StopIteration):
        close_off_loop(recorder).send(None)
    assert [2.0] == recorder.close_timeouts


async def test_a_request_leaves_nothing_to_the_garbage_collector(recorder: Recorder) -> None:
    """What a middleware makes for a request is gone with it, also in hosts that switch the collector off."""
    app = ProfilingMiddleware(greet, profiler=recorder)
    await call_asgi(app, "/")
    gc.collect()
    gc.disable()
    try:
        await call_asgi(app, "/")
        assert 0 == gc.collect()
    finally:
        gc.enable()
