import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from chronoprof_sidecar.client.delivery import Answer
from chronoprof_sidecar.client.settings import Overrides, read_settings
from chronoprof_sidecar.client.transport import NoAnswerError, Transport
from chronoprof_sidecar.protocol import CLIENT_HEADER, INGEST_PATH, KEY_HEADER
from tests.client.scripted import DEADLINE_SECONDS, KEY, Gate, ScriptedSidecar, answer, cut_before, serve

BODY = b'{"client":{"id":"a","seq":1},"functions":{}}'


@contextmanager
def transport_to(url: str) -> Iterator[Transport]:
    settings = read_settings({}, Overrides(url=url, api_key=KEY))
    transport = Transport(settings.endpoint)
    try:
        yield transport
    finally:
        transport.close()


def post(
    transport: Transport, body: bytes = BODY, seconds: float = DEADLINE_SECONDS, idle: Callable[[], None] = lambda: None
) -> Answer:
    return transport.post(body, key=KEY, seconds=seconds, idle=idle)


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that lets `talk` have each connection, and closes it afterwards."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with closing(connection), suppress(OSError):
                    talk(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def read_request(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(BODY):
        received += connection.recv(65536)
    return received


def test_a_request(sidecar: ScriptedSidecar) -> None:
    """A request goes to the ingest route with the key, the type and the shim's own mark; its answer comes back."""
    with transport_to(sidecar.url + "/base/") as transport:
        assert 200 == post(transport).status

    [request] = sidecar.requests
    assert "/base" + INGEST_PATH == request.path
    sent = {"Content-Type": "application/json", KEY_HEADER: KEY, "Host": sidecar.url.removeprefix("http://")}
    assert sent.items() <= request.headers.items()
    assert request.headers[CLIENT_HEADER]


def test_the_connection_is_kept_open() -> None:
    """Requests follow each other on one connection."""
    connections = 0

    def talk(connection: socket.socket) -> None:
        nonlocal connections
        connections += 1
        for _ in range(3):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with raw_server(talk) as url, transport_to(url) as transport:
        assert [b"ok"] * 3 == [post(transport).body for _ in range(3)]

    assert 1 == connections


def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    """A server may close an idle connection: the request is sent again on a new one, and nobody notices."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with raw_server(talk) as url, transport_to(url) as transport:
        assert [b"ok"] * 3 == [post(transport).body for _ in range(3)]


def test_an_answer_that_ends_with_the_connection() -> None:
    """An answer without a length is read to the end of the connection."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")

    with raw_server(talk) as url, transport_to(url) as transport:
        assert [b"to the end"] * 2 == [post(transport).body for _ in range(2)]


def test_an_early_answer_is_read() -> None:
    """A server that answers and closes before it has read a large body is understood all the same."""

    def talk(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with raw_server(talk) as url, transport_to(url) as transport:
        assert 413 == post(transport, b"x" * 20_000_000).status


def test_redirects_are_not_followed(sidecar: ScriptedSidecar) -> None:
    """A redirect is an answer: the key goes nowhere else."""
    sidecar.script.append(answer(307, Location=f"{sidecar.url}/elsewhere"))

    with transport_to(sidecar.url) as transport:
        assert 307 == post(transport).status

    assert 1 == len(sidecar.requests)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("999999999", 999999.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("-1", None)],
)
def test_retry_after(sidecar: ScriptedSidecar, header: str, seconds: float | None) -> None:
    """Retry-After is understood as seconds and as a date; anything else is none."""
    sidecar.script.append(answer(503, Retry_After=header))

    with transport_to(sidecar.url) as transport:
        assert seconds == post(transport).retry_after_seconds


def test_nobody_there(sidecar: ScriptedSidecar) -> None:
    """Where nobody listens, certainly nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with transport_to(f"http://127.0.0.1:{port}") as transport, pytest.raises(NoAnswerError) as silence:
        post(transport)

    assert not silence.value.sent


def test_no_such_host() -> None:
    """A host name that nobody knows is a failure to connect, not an error."""
    with transport_to("http://no-such-host.invalid") as transport, pytest.raises(NoAnswerError) as silence:
        post(transport)

    assert not silence.value.sent


def test_cut_connections(sidecar: ScriptedSidecar) -> None:
    """A connection cut after the request leaves open whether it was counted, whether it was fresh or kept."""
    with transport_to(sidecar.url) as transport:
        for before in (0, 1):
            for _ in range(before):
                post(transport)
            sidecar.script += [cut_before, cut_before]
            with pytest.raises(NoAnswerError) as silence:
                post(transport)
            assert silence.value.sent
            sidecar.script.clear()


def test_a_server_that_ends_after_a_kept_connection() -> None:
    """When a kept connection breaks and no new one can be made, the request may have arrived on the old one."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer_once() -> None:
        connection, _ = listener.accept()
        with closing(connection):
            read_request(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            read_request(connection)
            listener.close()

    server = threading.Thread(target=answer_once)
    server.start()
    with transport_to(f"http://127.0.0.1:{listener.getsockname()[1]}") as transport:
        post(transport)
        with pytest.raises(NoAnswerError, match="refused") as silence:
            post(transport)
    server.join()

    assert silence.value.sent


def test_a_frozen_server_is_left_in_time(sidecar: ScriptedSidecar) -> None:
    """A server that never answers is left at the deadline, and the waiting thread was free to work meanwhile."""
    gate = Gate()
    sidecar.script.append(gate)
    worked = threading.Event()

    with transport_to(sidecar.url) as transport, pytest.raises(NoAnswerError, match="in time") as silence:
        post(transport, seconds=0.3, idle=worked.set)
    gate.opened.set()

    assert silence.value.sent
    assert worked.is_set()


def test_a_dripping_server_is_left_in_time() -> None:
    """A server that sends a byte now and then cannot stretch the exchange: the deadline is for all of it."""
    ended = threading.Event()

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not ended.wait(0.01):
            connection.sendall(b"x")

    with raw_server(talk) as url, transport_to(url) as transport:
        with pytest.raises(NoAnswerError, match="in time"):
            post(transport, seconds=0.3)
        ended.set()


def test_what_idle_raises_ends_the_exchange(sidecar: ScriptedSidecar) -> None:
    """The waiting thread can be called off."""
    gate = Gate()
    sidecar.script.append(gate)

    def call_off() -> None:
        raise TimeoutError("the process ends")

    with transport_to(sidecar.url) as transport, pytest.raises(NoAnswerError, match="the process ends"):
        post(transport, idle=call_off)
    gate.opened.set()


@pytest.mark.parametrize("rubbish", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n" + b"a" * 70_000])
def test_rubbish_is_no_answer(rubbish: bytes) -> None:
    """A server that does not speak HTTP has not answered."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(rubbish)

    with raw_server(talk) as url, transport_to(url) as transport, pytest.raises(NoAnswerError) as silence:
        post(transport)
    assert silence.value.sent


def test_an_endless_answer_is_cut_short() -> None:
    """An answer of any size costs bounded memory, and what is left of it is not taken for the next answer."""
    answers = iter([b"Content-Length: 1000000000\r\n\r\n" + b"x" * 1_000_000, b"Content-Length: 2\r\n\r\nok"])

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + next(answers))
        while connection.recv(65536):
            pass

    with raw_server(talk) as url, transport_to(url) as transport:
        assert 1_000_000 > len(post(transport).body)
        assert b"ok" == post(transport).body


def test_unix_sockets(tmp_path: Path) -> None:
    """A sidecar on a unix socket is reached by its path."""
    with serve(ScriptedSidecar(), unix=tmp_path / "s.sock") as sidecar, transport_to(sidecar.url) as transport:
        assert [200, 200] == [post(transport).status for _ in range(2)]


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An https sidecar whose certificate the system trusts is spoken to, also with bodies of many records."""
    authority = trustme.CA()
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(trusted)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))

    with (
        serve(ScriptedSidecar(), tls=server_context(authority, "localhost")) as sidecar,
        transport_to(sidecar.url) as tls,
    ):
        assert [200, 200] == [post(tls, BODY + b" " * 1_000_000).status for _ in range(2)]


@pytest.mark.parametrize(("trusted", "name"), [(False, "localhost"), (True, "elsewhere.example")])
def test_certificates_are_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trusted: bool, name: str) -> None:
    """A certificate that is not trusted, or is another host's, ends the connection before anything is sent."""
    authority = trustme.CA()
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    with (
        serve(ScriptedSidecar(), tls=server_context(authority, name)) as sidecar,
        transport_to(sidecar.url) as tls,
        pytest.raises(NoAnswerError, match="certificate") as silence,
    ):
        post(tls)

    assert not silence.value.sent
    assert [] == sidecar.requests
