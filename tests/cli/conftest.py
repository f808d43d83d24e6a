"""A small real HTTP server that answers as it is told, and a way to run commands against it."""

import os
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Protocol

import pytest

from chronoprof_sidecar.cli.main import main

KEY = "admin-key-0123456789"


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


CannedAnswer = tuple[int, dict[str, str], bytes]
UNKNOWN: CannedAnswer = (404, {}, b'{"error":{"code":"not_found","message":"no such route"}}')


@dataclass
class StandIn:
    """A server that gives `answers` (status, headers, body) by method and path, and 404 in the sidecar's form else."""

    url: str = ""
    answers: dict[str, CannedAnswer] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def answer(self, request: str, body: bytes = b"", status: int = 200, **headers: str) -> None:
        """Answer `request`, such as `GET /path`, from now on; `_` in names of headers stands for `-`."""
        self.answers[request] = (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return the handler class of this server."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def _respond(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stand_in.received.append(Received(self.command, self.path, dict(self.headers), body))
                status, headers, answer = stand_in.answers.get(f"{self.command} {self.path.split('?')[0]}", UNKNOWN)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = _respond  # noqa: N815 -- http.server's names

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


class UnixHTTPServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The same over a unix socket, whose peers have no address."""

    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Give the peer the address that the handler expects."""
        connection, _ = super().get_request()
        return connection, ("unix", 0)


def _serve(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


@pytest.fixture
def sidecar() -> Iterator[StandIn]:
    """Start a server on a free port of the loopback interface."""
    stand_in = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), stand_in.handler())
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    yield from (stand_in for _ in _serve(server))


@pytest.fixture
def unix_sidecar(tmp_path: Path) -> Iterator[StandIn]:
    """Start a server on a unix socket."""
    stand_in = StandIn(f"unix://{tmp_path}/sidecar.sock")
    server = UnixHTTPServer(f"{tmp_path}/sidecar.sock", stand_in.handler())
    yield from (stand_in for _ in _serve(server))


@pytest.fixture
def make_tls_sidecar() -> Iterator[Callable[[ssl.SSLContext], StandIn]]:
    """Start servers that speak https with the given context."""
    running: list[Iterator[None]] = []

    def start(context: ssl.SSLContext) -> StandIn:
        stand_in = StandIn()
        server = ThreadingHTTPServer(("127.0.0.1", 0), stand_in.handler())
        # The handshake happens in the handler's thread: one that fails is the client's business.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        stand_in.url = f"https://127.0.0.1:{server.server_port}"
        serving = _serve(server)
        next(serving)
        running.append(serving)
        return stand_in

    yield start
    for serving in running:
        next(serving, None)


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs one command in this process."""

    def __call__(self, *argv: str) -> Ran:
        """Run `chronoprof` with these arguments."""


@pytest.fixture(autouse=True)
def _clean_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty directory, with no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("CHRONOPROF_"):
            monkeypatch.delenv(name)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run commands in this process, where argparse may end them."""

    def run_command(*argv: str) -> Ran:
        try:
            code = main(argv)
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run_command


@pytest.fixture
def ask(run: Run, sidecar: StandIn, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands that ask `sidecar` with an admin key."""
    monkeypatch.setenv("CHRONOPROF_URL", sidecar.url)
    monkeypatch.setenv("CHRONOPROF_API_KEY", KEY)
    return run
