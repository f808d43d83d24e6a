"""The WSGI middleware with bare apps: what passes through, how bodies end, and what servers rely on."""

import gc
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.util import FileWrapper
from wsgiref.validate import validator

import pytest

from chronoprof_sidecar.client.wsgi import ProfilingMiddleware
from chronoprof_sidecar.protocol import CLIENT_HEADER
from tests.client.frameworks.recording import Recorder, Sample, bare, call_wsgi, wsgi_environ


def greet(environ: Any, start_response: Any) -> list[bytes]:
    """Answer 200 in one chunk."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


def ignore(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
    """Start no response."""
    return lambda _data: None


class Body:
    """A body that can be closed, and says so."""

    def __init__(self, chunks: Iterable[bytes], log: list[str] | None = None) -> None:
        self._chunks = chunks
        self.log: list[str] = [] if log is None else log

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks."""
        for chunk in self._chunks:
            self.log.append(f"made {chunk.decode()}")
            yield chunk

    def close(self) -> None:
        """Note the close."""
        self.log.append("closed")


def answering(body: Any, status: str = "200 OK") -> Any:
    """Return an app that answers with `body`."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, [("Content-Type", "text/plain")])
        return body

    return app


def test_an_app_without_routes_is_one_name(recorder: Recorder) -> None:
    """Where nothing tells the route, the path is not the name."""
    assert b"hello" == call_wsgi(ProfilingMiddleware(greet, profiler=recorder), "/secret").body
    assert [Sample("GET <unmatched>")] == recorder.samples
    assert 1 == recorder.requests_done


def test_it_keeps_to_pep_3333(recorder: Recorder) -> None:
    """The standard library's validator, outside and inside, finds nothing to say."""
    app = validator(ProfilingMiddleware(validator(greet), profiler=recorder))
    assert b"hello" == call_wsgi(app, "/").body
    assert [Sample("GET <unmatched>")] == recorder.samples


def test_not_enabled_is_not_there() -> None:
    """Switched off, the app gets the very environ and start_response, and the server the very body."""
    off, body, environ = Recorder(enabled=False), Body([]), wsgi_environ("/")
    got: list[Any] = []

    def app(*server: Any) -> Any:
        got.extend(server)
        return body

    assert body is ProfilingMiddleware(app, profiler=off)(environ, ignore)
    assert environ is got[0]
    assert ignore is got[1]
    assert bare(environ)
    assert [] == off.samples


@pytest.mark.parametrize(
    "environ",
    [{"HTTP_" + CLIENT_HEADER.upper().replace("-", "_"): "1"}, {"HTTP_UPGRADE": "WebSocket"}],
    ids=["the shim's", "websocket"],
)
def test_some_requests_are_not_timed(recorder: Recorder, environ: dict[str, str]) -> None:
    """The shim's own requests and websockets pass through."""
    assert 200 == call_wsgi(ProfilingMiddleware(greet, profiler=recorder), "/", **environ).status
    assert [] == recorder.samples


def test_wrapped_twice_is_timed_once(recorder: Recorder) -> None:
    """The outermost middleware times a request, inner ones leave it alone."""
    call_wsgi(ProfilingMiddleware(ProfilingMiddleware(greet, profiler=recorder), profiler=recorder), "/")
    assert 1 == len(recorder.samples)


def test_a_stream_is_timed_to_its_last_chunk_and_never_buffered(recorder: Recorder) -> None:
    """Each chunk is handed on before the next is made; the request is recorded at the end, the body closed once."""
    body = Body([b"0", b"1"])
    timed = ProfilingMiddleware(answering(body), profiler=recorder)(wsgi_environ("/"), ignore)
    for chunk in timed:
        body.log.append(f"sent {chunk.decode()} after {len(recorder.samples)} samples")
    body.log.append(f"end after {len(recorder.samples)} samples")
    timed.close()  # type: ignore[attr-defined]
    expected = ["made 0", "sent 0 after 0 samples", "made 1", "sent 1 after 0 samples", "end after 1 samples", "closed"]
    assert expected == body.log
    assert [Sample("GET <unmatched>")] == recorder.samples


@pytest.mark.parametrize("chunks_read", [0, 1])
def test_a_body_that_is_left_early_is_recorded(recorder: Recorder, chunks_read: int) -> None:
    """A client that goes away, or a HEAD whose body nobody reads, ends the request by its close; that is no error."""
    body = Body([b"0", b"1"])
    timed = ProfilingMiddleware(answering(body), profiler=recorder)(wsgi_environ("/"), ignore)
    chunks = iter(timed)
    for _ in range(chunks_read):
        next(chunks)
    timed.close()  # type: ignore[attr-defined]
    assert "closed" == body.log[-1]
    assert [Sample("GET <unmatched>")] == recorder.samples


def test_exceptions_and_5xx_are_errors(recorder: Recorder) -> None:
    """An exception of the app, one of its body, and a 500: an error each, and each goes on to the server."""

    def failing(environ: Any, start_response: Any) -> Any:
        raise LookupError

    def chunks() -> Iterator[bytes]:
        yield b"so far"
        raise LookupError

    for app in (failing, answering(chunks())):
        with pytest.raises(LookupError):
            call_wsgi(ProfilingMiddleware(app, profiler=recorder), "/")
    call_wsgi(ProfilingMiddleware(answering([b"no"], "500 Oops"), profiler=recorder), "/")
    assert [Sample("GET <unmatched>", True)] * 3 == recorder.samples


def test_a_response_that_starts_anew_counts_by_its_last_status(recorder: Recorder) -> None:
    """An app may replace its status, with exc_info, until the headers are sent."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        error = LookupError()
        start_response("503 Later", [], (type(error), error, error.__traceback__))
        return []

    assert 503 == call_wsgi(ProfilingMiddleware(app, profiler=recorder), "/").status
    assert [Sample("GET <unmatched>", True)] == recorder.samples


@pytest.mark.parametrize("chunks", [[], [b"a"], [b"a", b"b"]])
def test_servers_see_how_many_chunks_there_are(recorder: Recorder, chunks: list[bytes]) -> None:
    """A body with a length keeps it: of a single chunk servers make a Content-Length."""
    body: Any = ProfilingMiddleware(answering(chunks), profiler=recorder)(wsgi_environ("/"), ignore)
    assert len(chunks) == len(body)
    assert not hasattr(
        ProfilingMiddleware(answering(iter(chunks)), profiler=recorder)(wsgi_environ("/"), ignore), "__len__"
    )


def test_files_reach_the_server_as_files(recorder: Recorder) -> None:
    """A server gets its own file wrapper back, for sendfile; its close ends the request."""
    file = FileWrapper(io.BytesIO(b"file"))
    app = ProfilingMiddleware(answering(file), profiler=recorder)
    body = app({**wsgi_environ("/"), "wsgi.file_wrapper": FileWrapper}, ignore)
    assert file is body
    assert [] == recorder.samples
    file.close()
    assert [Sample("GET <unmatched>")] == recorder.samples
    assert file.filelike.closed


def test_a_request_leaves_nothing_to_the_garbage_collector(recorder: Recorder) -> None:
    """What a middleware makes for a request is gone with it, also in hosts that switch the collector off."""
    app = ProfilingMiddleware(greet, profiler=recorder)
    gc.collect()
    gc.disable()
    try:
        call_wsgi(app, "/")
        assert 0 == gc.collect()
    finally:
        gc.enable()
