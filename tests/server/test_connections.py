import asyncio
import contextlib
import json
import logging
import resource
from collections.abc import Iterator
from dataclasses import replace

import pytest
from aiohttp import ClientSession

from chronoprof_sidecar.server import connections
from chronoprof_sidecar.settings import Settings
from tests.server.harness import ADMIN, API, listening
from tests.server.raw import ask, connection, head

DATA = head("GET", "/data")


async def answered(reader: asyncio.StreamReader) -> bytes:
    """Return the head of one answer, after its body was read, too."""
    text = await reader.readuntil(b"\r\n\r\n")
    (length,) = (line for line in text.split(b"\r\n") if line.startswith(b"Content-Length: "))
    await reader.readexactly(int(length.partition(b": ")[2]))
    return text


async def test_more_connections_than_allowed_are_refused(settings: Settings) -> None:
    """A connection too many is told 503 and closed, while those before it are served."""
    async with (
        listening(replace(settings, max_connections=2)) as listener,
        connection(listener) as (reader, writer),
        connection(listener) as (other_reader, other_writer),
    ):
        for read, write in ((reader, writer), (other_reader, other_writer)):
            write.write(DATA)
            assert b" 200 " in await answered(read)
        refused = await ask(listener, b"")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 1\r\n" in refused
        assert json.loads(refused.partition(b"\r\n\r\n")[2])["error"]["code"] == "unavailable"
        writer.write(DATA)
        assert b" 200 " in await answered(reader)


async def test_an_ended_connection_makes_room(settings: Settings) -> None:
    """The bound is on connections at one time: those that have ended do not count."""
    async with listening(replace(settings, max_connections=1)) as listener:
        for _ in range(3):
            answer = b""
            # This end may know of the end of a connection before it is counted out.
            while not answer.startswith(b"HTTP/1.1 200 "):
                answer = await ask(listener, head("GET", "/data", "Connection: close"))


@pytest.mark.parametrize("after", [b"", DATA], ids=["at once", "after a request"])
async def test_a_dripping_head_is_cut_off(settings: Settings, after: bytes) -> None:
    """A head that does not get complete ends its connection, however steadily it drips."""
    async with (
        listening(replace(settings, header_timeout_seconds=0.3, idle_timeout_seconds=3600)) as listener,
        connection(listener) as (reader, writer),
    ):
        if after:
            writer.write(after)
            await answered(reader)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Drip: ")
        end = asyncio.ensure_future(reader.read())
        with contextlib.suppress(ConnectionError):
            while not end.done():
                writer.write(b"a")
                await asyncio.wait([end], timeout=0.05)
            assert await end == b""


async def test_an_idle_connection_is_closed(settings: Settings) -> None:
    """A connection that asks nothing, or nothing more, is closed."""
    async with listening(replace(settings, idle_timeout_seconds=0.3)) as listener:
        assert await ask(listener, b"") == b""
        assert (await ask(listener, DATA)).startswith(b"HTTP/1.1 200 ")


async def fill(listener_url: str) -> None:
    """Count calls of so many functions that no socket buffer holds a report of them."""
    durations = {f"{number}-" + "n" * 490: [1.0] for number in range(1000)}
    async with ClientSession(listener_url, headers=ADMIN) as session:
        answer = await session.post(f"{API}/ingest", json={"durations": durations})
        assert answer.status == 200


class Heard(logging.Filter):
    """Lets every record through, and sets its event when one holds the words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.event = asyncio.Event()
        self._words = words
        self._loop = asyncio.get_running_loop()

    def filter(self, record: logging.LogRecord) -> bool:
        """Listen."""
        if self._words in record.getMessage():
            self._loop.call_soon_threadsafe(self.event.set)
        return True


async def write_for_ever(writer: asyncio.StreamWriter) -> None:
    """Write what could begin a next request: how an end that does not read learns that the other has gone."""
    while True:
        writer.write(b"\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", [f"{API}/data", "/openapi.json"], ids=["in the process", "in the kernel"])
async def test_a_client_that_does_not_take_its_answer_is_cut_off(settings: Settings, path: str) -> None:
    """A client that reads nothing loses its connection, whether or not the kernel holds all of its answer."""
    patient = replace(settings, idle_timeout_seconds=3600, header_timeout_seconds=3600)
    async with listening(replace(patient, body_timeout_seconds=0.5)) as listener:
        await fill(listener.addresses[0])
        async with connection(listener) as (reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(DATA.replace(f"{API}/data".encode(), path.encode()))
            with pytest.raises(ConnectionError):
                await write_for_ever(writer)
            assert reader.at_eof() is False


async def test_what_the_kernel_holds_goes_with_the_connection(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that was cut off is reset: a client that reads after all does not get what waited for it."""
    patient = replace(settings, idle_timeout_seconds=3600, body_timeout_seconds=0.5)
    heard = Heard("does not take its answer")
    caplog.handler.addFilter(heard)
    with caplog.at_level(logging.DEBUG):
        async with listening(patient) as listener:
            await fill(listener.addresses[0])
            async with connection(listener) as (reader, writer), asyncio.timeout(30):
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                writer.write(DATA)
                await heard.event.wait()
                writer.transport.resume_reading()  # type: ignore[attr-defined]
                with pytest.raises(ConnectionError):
                    await reader.read()
    caplog.handler.removeFilter(heard)


async def test_a_client_that_always_has_an_answer_under_way_is_served(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client so far away that no look at it finds everything acknowledged is not cut off while it goes on asking."""
    monkeypatch.setattr(connections, "unsent_bytes", lambda _: 1)
    monkeypatch.setattr(connections, "_INSPECTION_SECONDS", 0.01)
    async with (
        listening(replace(settings, body_timeout_seconds=0.2)) as listener,
        connection(listener) as (reader, writer),
    ):
        end = asyncio.get_running_loop().time() + 1
        while asyncio.get_running_loop().time() < end:
            writer.write(DATA)
            assert b" 200 " in await answered(reader)


async def test_a_client_that_takes_its_answer_slowly_is_served(settings: Settings) -> None:
    """A client that keeps reading gets its whole answer, though it takes longer than a body may."""
    async with listening(replace(settings, body_timeout_seconds=0.5)) as listener:
        await fill(listener.addresses[0])
        async with connection(listener) as (reader, writer):
            writer.write(head("GET", "/data", "Connection: close"))
            received = bytearray()
            while chunk := await reader.read(64 * 1024):
                received += chunk
                await asyncio.sleep(0.2)  # the pace of this client; nothing is waited for
    assert len(json.loads(received.partition(b"\r\n\r\n")[2])["data"]) == 1000


SMUGGLED = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 1000 + b"\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32,
    b"X-API-Key: a-key-in-the-wrong-place\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", SMUGGLED, ids=range(len(SMUGGLED)))
async def test_what_is_no_http_is_refused(
    settings: Settings, caplog: pytest.LogCaptureFixture, request_bytes: bytes
) -> None:
    """Bytes that two parsers could read in two ways are a 400 in JSON, end the connection, and reach no log."""
    with caplog.at_level(logging.DEBUG):
        async with listening(settings) as listener:
            answer = await ask(listener, request_bytes)
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "malformed"
    assert "wrong-place" not in caplog.text


@pytest.mark.parametrize("path", [f"{API}/data", "/health", "/nowhere"])
async def test_an_expectation_that_is_not_met_is_refused(settings: Settings, path: str) -> None:
    """An Expect other than 100-continue is a 417, which looks like every other error, and the connection stays."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\nX-Request-ID: mine\r\n\r\n".encode()
    async with listening(settings) as listener, connection(listener) as (reader, writer):
        for _ in range(2):
            writer.write(request)
            text = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(text.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
            assert text.startswith(b"HTTP/1.1 417 ")
            assert b"\r\nX-Request-ID: mine\r\n" in text
            assert b"\r\nCache-Control: no-store\r\n" in text
            assert json.loads(body)["error"]["code"] == "expectation_failed"


@pytest.fixture
def few_files() -> Iterator[None]:
    """Limit the open files of this process for the time of a test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_limit_on_open_files_is_raised(settings: Settings, few_files: None) -> None:
    """A soft limit below what the connections need is raised as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    async with listening(replace(settings, max_connections=500)):
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 500
