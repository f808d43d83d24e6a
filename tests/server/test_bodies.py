import gzip
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.settings import Settings
from tests.server.harness import ADMIN, API, Client, listening
from tests.server.raw import ask, connection, head

SMALL = json.dumps({"samples": [{"function_name": "f", "duration": 0.5}]}).encode()
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Return settings with narrow bounds."""
    return replace(settings, max_body_bytes=4096, max_inflated_bytes=16384, body_timeout_seconds=0.2)


async def post(client: Client, body: object, headers: dict[str, str]) -> tuple[int, str]:
    """Post an ingest body, and return status and error code."""
    answer = await client.post(f"{API}/ingest", data=body, headers=headers)
    decoded = await answer.json()
    return answer.status, decoded.get("error", {}).get("code", "")


def padded(size_bytes: int) -> bytes:
    """Return a good body of exactly this size."""
    return SMALL + b" " * (size_bytes - len(SMALL))


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
async def test_json_in_utf_8_is_taken(client: Client, content_type: str) -> None:
    """However a client spells JSON in UTF-8, it counts."""
    assert await post(client, SMALL, {"Content-Type": content_type}) == (200, "")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonp",
        ";",
        "",
    ],
)
async def test_other_types_are_refused(client: Client, content_type: str) -> None:
    """What does not say that it is JSON in UTF-8 is a 415, so that no form of a foreign page gets through."""
    assert await post(client, SMALL, {"Content-Type": content_type}) == (415, "unsupported_media")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "identity"])
async def test_encodings_taken(client: Client, encoding: str) -> None:
    """A body is plain, or one gzip member."""
    body = SMALL if encoding == "identity" else gzip.compress(SMALL)
    assert await post(client, body, {**JSON, "Content-Encoding": encoding}) == (200, "")


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x"])
async def test_other_encodings_are_refused(client: Client, encoding: str) -> None:
    """An encoding that is not taken is a 415, not a parse error."""
    assert await post(client, SMALL, {**JSON, "Content-Encoding": encoding}) == (415, "unsupported_media")


async def test_gzip_is_checked(client: Client) -> None:
    """A body that is not the gzip it says it is, or more than one member, is malformed."""
    for body in (SMALL, gzip.compress(SMALL)[:-4], gzip.compress(SMALL) * 2):
        assert await post(client, body, {**JSON, "Content-Encoding": "gzip"}) == (400, "malformed")


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_size_is_bounded_as_it_arrives(client: Client) -> None:
    """A body of exactly the limit counts and one byte more is a 413, whether its length is announced or not."""
    assert await post(client, padded(4096), JSON) == (200, "")
    assert await post(client, padded(4097), JSON) == (413, "body_too_large")
    assert await post(client, chunks(padded(4096)), JSON) == (200, "")
    assert await post(client, chunks(padded(4000), b" " * 97), JSON) == (413, "body_too_large")


async def test_size_is_bounded_inflated(client: Client) -> None:
    """A small body that inflates beyond the limit is a 413."""
    compressed = {**JSON, "Content-Encoding": "gzip"}
    assert await post(client, gzip.compress(padded(16384)), compressed) == (200, "")
    assert await post(client, gzip.compress(padded(16385)), compressed) == (413, "body_too_large")


def ingest_head(*lines: str) -> bytes:
    return head("POST", "/ingest", "Content-Type: application/json", *lines)


async def test_too_large_a_body_is_answered_before_the_connection_closes(settings: Settings) -> None:
    """A client that goes on sending what was refused still reads the 413, and then the end of the connection."""
    async with listening(settings) as listener:
        answer = await ask(listener, ingest_head("Content-Length: 1000000") + b" " * 500_000)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_slow_body_is_timed_out(settings: Settings, framing: str) -> None:
    """A body that does not arrive in time is a 408, and its connection ends."""
    async with listening(settings) as listener:
        answer = await ask(listener, ingest_head(framing))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"body_timeout"' in answer


@pytest.mark.parametrize("path", ["/ingest", "/reset"], ids=["read", "not read"])
async def test_a_malformed_chunk_is_refused(settings: Settings, caplog: pytest.LogCaptureFixture, path: str) -> None:
    """Broken chunks are a 400 and the end of the connection, with the head or long behind it, and no bug to log."""
    request = head("POST", path, "Content-Type: application/json", "Transfer-Encoding: chunked", "Expect: 100-continue")
    async with listening(settings) as listener:
        assert b" 400 " in (await ask(listener, ingest_head("Transfer-Encoding: chunked") + b"xyz\r\n"))[:16]
        async with connection(listener) as (reader, writer):
            writer.write(request)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"xyz\r\n")
            answer = await reader.read()
    assert (answer.startswith(b"HTTP/1.1 400 ") and b"\r\nConnection: close\r\n" in answer) or path == "/reset"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_client_that_leaves_mid_body_is_no_bug(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """A connection lost in the middle of a body leaves no error in the log, and the service as it was."""
    async with listening(settings) as listener:
        async with connection(listener) as (reader, writer):
            writer.write(ingest_head("Content-Length: 100", "Expect: 100-continue") + b"half")
            await reader.readuntil(b"\r\n\r\n")
        answer = await ask(listener, ingest_head(f"Content-Length: {len(SMALL)}", "Connection: close") + SMALL)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_large_bodies_count_like_small_ones(aiohttp_client: AiohttpClient, settings: Settings) -> None:
    """A body that is inflated and decoded in threads counts every call."""
    client = await aiohttp_client(
        create_app(replace(settings, max_body_bytes=2**20, max_inflated_bytes=2**23)), headers=ADMIN
    )
    durations = {f"f{number}": [number / 7 for number in range(1, 500)] for number in range(100)}
    body = gzip.compress(json.dumps({"durations": durations}).encode(), 1)
    answer = await client.post(f"{API}/ingest", data=body, headers={**JSON, "Content-Encoding": "gzip"})
    assert (await answer.json())["accepted"] == 100 * 499
