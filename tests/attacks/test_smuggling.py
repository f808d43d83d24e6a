"""Bytes that two HTTP parsers could read in two ways: refused, the connection closed, and nothing hidden in them done.

A proxy in front of the sidecar may read a request's end elsewhere than the sidecar does; what one of them takes for a
body, the other takes for the next request. RFC 9112, section 11.2.
"""

import json
import socket
from collections.abc import Iterator

import pytest

from tests.process.sidecar import ADMIN_KEY, DEADLINE_SECONDS, Sidecar
from tests.proof import Proof

RESET = f"POST /api/v1/profiling/reset HTTP/1.1\r\nHost: a\r\nX-API-Key: {ADMIN_KEY}\r\n\r\n"
"""What is hidden: the table would be empty, and the generation another one."""
BODY = '{"durations":{"smuggled":[1]}}'


def ingest(*lines: str, version: str = "1.1", host: str = "Host: a") -> str:
    """Return the head of an ingest request of the admin's with more header lines."""
    head = [f"POST /api/v1/profiling/ingest HTTP/{version}", host, f"X-API-Key: {ADMIN_KEY}"]
    return "\r\n".join([*filter(None, head), "Content-Type: application/json", *lines, "", ""])


def length(text: str = BODY) -> str:
    """Return the right header line for a body."""
    return f"Content-Length: {len(text)}"


CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"
REFUSED: dict[str, str] = {
    "a length and chunks": ingest(length(), CHUNKED) + CHUNKS + RESET,
    "chunks and a length of 0": ingest("Content-Length: 0", CHUNKED) + CHUNKS + RESET,
    "two lengths": ingest(length(), "Content-Length: 0") + BODY + RESET,
    "the same length twice": ingest(length(), length()) + BODY + RESET,
    "a list of lengths": ingest(f"{length()}, {len(BODY)}") + BODY + RESET,
    "a negative length": ingest("Content-Length: -1") + BODY + RESET,
    "a length with a sign": ingest(f"Content-Length: +{len(BODY)}") + BODY + RESET,
    "a hexadecimal length": ingest(f"Content-Length: {len(BODY):#x}") + BODY + RESET,
    "a length with an underscore": ingest("Content-Length: 3_0") + BODY + RESET,
    "an empty length": ingest("Content-Length: ") + BODY + RESET,
    "a length of other digits": ingest("Content-Length: \N{FULLWIDTH DIGIT THREE}0") + BODY + RESET,
    "a length beyond all numbers": ingest(f"Content-Length: {'9' * 400}") + BODY + RESET,
    "another coding": ingest("Transfer-Encoding: xchunked") + CHUNKS + RESET,
    "chunked that is not last": ingest("Transfer-Encoding: chunked, identity") + CHUNKS + RESET,
    "chunked twice": ingest("Transfer-Encoding: chunked, chunked") + CHUNKS + RESET,
    "two codings in two lines": ingest(CHUNKED, "Transfer-Encoding: identity") + CHUNKS + RESET,
    "a coding after a control character": ingest("Transfer-Encoding: \x0bchunked") + CHUNKS + RESET,
    "a space before the colon": ingest("Transfer-Encoding : chunked") + CHUNKS + RESET,
    "a folded line": ingest(length(), "X-A: 1", " Transfer-Encoding: chunked") + BODY + RESET,
    "a line without a colon": ingest(length(), "X-A") + BODY + RESET,
    "a name with a space": ingest(length(), "X A: 1") + BODY + RESET,
    "an empty name": ingest(length(), ": 1") + BODY + RESET,
    "a NUL in a value": ingest(length(), "X-A: 1\x00") + BODY + RESET,
    "a bare CR in a value": ingest(length(), "X-A: 1\rTransfer-Encoding: chunked") + BODY + RESET,
    "a bare LF": ingest(length(), "X-A: 1\nX-B: 2") + BODY + RESET,
    "bare LFs alone": ingest(length()).replace("\r\n", "\n") + BODY + RESET,
    "two hosts": ingest(length(), "Host: b") + BODY + RESET,
    "no host": ingest(length(), host="") + BODY + RESET,
    "no version": "GET /health\r\n\r\n" + RESET,
    "an unknown version": ingest(length(), version="2.1") + BODY + RESET,
    "HTTP/2 to begin with": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + RESET,
    "a target with a space": ingest(length()).replace("/ingest ", "/ingest  x ") + BODY + RESET,
    "a control character in the target": ingest(length()).replace("/ingest", "/ing\x01est") + BODY + RESET,
    "a chunk size with a sign": ingest(CHUNKED) + f"+{CHUNKS}" + RESET,
    "a chunk size of other digits": ingest(CHUNKED) + f"0x{CHUNKS}" + RESET,
    "a chunk size beyond all numbers": ingest(CHUNKED) + "f" * 40 + f"\r\n{BODY}\r\n0\r\n\r\n" + RESET,
    "no chunk size": ingest(CHUNKED) + f"\r\n{BODY}\r\n0\r\n\r\n" + RESET,
    "a chunk that is longer than it says": ingest(CHUNKED) + f"5\r\n{BODY}\r\n0\r\n\r\n" + RESET,
    "chunks that end in bare LFs": ingest(CHUNKED) + CHUNKS.replace("\r\n", "\n") + RESET,
    "a head of a megabyte": ingest(*(f"X-{number}: {'a' * 8000}" for number in range(130))) + RESET,
}
"""Each could make a proxy and the sidecar disagree about where the request ends."""
REFUSALS = {b"400", b"408", b"413", b"414", b"431"}


@pytest.fixture(scope="module", params=["", "1"], ids=["compiled", "pure-python"])
def sidecar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A running sidecar with a row, under each of aiohttp's two parsers."""
    directory = tmp_path_factory.mktemp("sidecar")
    running = Sidecar(directory, AIOHTTP_NO_EXTENSIONS=request.param, CHRONOPROF_BODY_TIMEOUT="2").start()
    running.request("POST", "/api/v1/profiling/ingest", {"durations": {"before": [0.25]}})
    yield running
    running.close()


def state(sidecar: Sidecar) -> tuple[int, dict[str, int]]:
    """Return what a hidden request would change."""
    report = sidecar.request("GET", "/api/v1/profiling/data")[1]
    return report["meta"]["generation"], {name: row["calls"] for name, row in report["data"].items()}


def send(sidecar: Sidecar, request: str) -> bytes:
    """Send bytes, and return all that comes until the sidecar closes the connection, which it must."""
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=DEADLINE_SECONDS) as connection:
        answer = bytearray()
        try:
            connection.sendall(request.encode("utf-8"))
            while received := connection.recv(65536):
                answer += received
        except ConnectionError:  # it would not even read the rest
            pass
        return bytes(answer)


@pytest.mark.parametrize("request_text", REFUSED.values(), ids=REFUSED)
def test_ambiguous_requests_are_refused(sidecar: Sidecar, request_text: str) -> None:
    """A request whose end is in doubt is answered once, by a refusal in JSON, and the connection ends there."""
    before = state(sidecar)
    answer = send(sidecar, request_text)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.split(b" ")[1] in REFUSALS, answer
    assert 1 == answer.count(b"HTTP/")
    assert json.loads(content)["error"]["code"]
    assert before == state(sidecar)


SHORT = {
    "a length that is too long": ingest("Content-Length: 1000") + BODY,
    "chunks that never end": ingest(CHUNKED) + f"{len(BODY):x}\r\n{BODY}\r\n",
    "half a head": ingest(length())[:-20],
}


@pytest.mark.parametrize("request_text", SHORT.values(), ids=SHORT)
def test_bodies_that_never_come_count_nothing(sidecar: Sidecar, request_text: str) -> None:
    """What is not there in time, or before the client hangs up, is not counted."""
    before = state(sidecar)
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(request_text.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    assert before == state(sidecar)


BROKEN = {
    "no size": ("/ingest", "xyz\r\n"),
    "too long": ("/ingest", "1\r\nab\r\n"),
    "a control character": ("/ingest", "5;\0\r\n"),
    "thrown away": ("/reset?generation=0", "xyz\r\n"),
}


@pytest.mark.parametrize(("path", "chunk"), BROKEN.values(), ids=BROKEN)
def test_chunks_that_break_behind_the_head(sidecar: Sidecar, path: str, chunk: str) -> None:
    """Chunks that turn out to be malformed when the request is being served end the connection, with a 400 where they
    are read; nothing is counted, nothing hidden is served, and nothing is logged."""
    before = state(sidecar)
    head = ingest(CHUNKED, "Expect: 100-continue").replace("/ingest", path)
    with socket.create_connection(("127.0.0.1", sidecar.port), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(head.encode())
        answers = connection.makefile("rb")
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == answers.readline() + answers.readline()
        refusal = b"" if path == "/ingest" else answers.readline()  # it needs no body
        connection.sendall((chunk + RESET).encode())
        refusal += answers.read()
    assert refusal.startswith(b"HTTP/1.1 400 " if path == "/ingest" else b"HTTP/1.1 409 ")
    assert 1 == refusal.count(b"HTTP/")
    assert before == state(sidecar)
    assert "Traceback" not in sidecar.log()


def test_smuggling_is_counted(proof: Proof) -> None:
    """Requests whose end is in doubt are refused and their connection closed, by both of aiohttp's parsers."""
    proof.reached("ways tried", len(REFUSED) + len(SHORT) + len(BROKEN))
    proof.reached("hidden requests served", 0, goal=0)
