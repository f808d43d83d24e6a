"""A real HTTP server that counts as a sidecar does, and misbehaves on request.

Owns the counting rule of DESIGN's section 4 in its simplest form, and a list of what to do to the next requests.
"""

import json
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

DEADLINE_SECONDS = 20.0
KEY = "a-key-of-sixteen-characters"


class Reply(NamedTuple):
    """An answer that is sent; the connection stays open."""

    status: int
    body: bytes = b'{"error":{"code":"x","message":"scripted"}}'
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """What arrived: headers and the decoded body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Misbehaviour = Callable[["ScriptedSidecar", bytes], Reply | None]
"""What is done with one request instead of counting it; None cuts the connection."""


def answer(status: int, **headers: str) -> Misbehaviour:
    """Answer a status without counting."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return lambda _sidecar, _body: Reply(status, headers=named)


def cut_before(_sidecar: "ScriptedSidecar", _body: bytes) -> None:
    """Cut the connection; nothing was counted."""


def cut_after(sidecar: "ScriptedSidecar", body: bytes) -> None:
    """Count, and cut the connection before the answer."""
    sidecar.count(body)


def foreign_page(_sidecar: "ScriptedSidecar", _body: bytes) -> Reply:
    """Answer as somebody else's web server would."""
    return Reply(200, b"<html>It works!</html>")


def somebody_elses_answer(sidecar: "ScriptedSidecar", body: bytes) -> Reply:
    """Answer 200 and the right shape, but to another sender."""
    calls = sum(item["calls"] for item in json.loads(body).get("functions", {}).values())
    return Reply(200, json.dumps({"accepted": calls, "client": {"id": "other", "seq": 1}, "duplicate": False}).encode())


class Gate:
    """Keeps requests waiting without an answer until it is opened, then cuts them."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _sidecar: "ScriptedSidecar", _body: bytes) -> None:
        self.reached.set()
        self.opened.wait(DEADLINE_SECONDS)


class ScriptedSidecar:
    """The counted rows of a sidecar, and the script of its misbehaviour."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._last: dict[str, tuple[int, str, int]] = {}
        self.script: list[Misbehaviour] = []
        self.requests: list[Request] = []
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.total_ns: Counter[str] = Counter()
        self.items: list[tuple[str, dict[str, Any]]] = []
        self.losses: Counter[str] = Counter()
        self.finals = 0
        self.rejected_name: str | None = None
        self.url = ""

    def handle(self, path: str, headers: dict[str, str], body: bytes) -> Reply | None:
        """Do with one request what the script says, or count it."""
        with self._changed:
            self.requests.append(Request(path, headers, json.loads(body)))
            misbehave = self.script.pop(0) if self.script else None
            self._changed.notify_all()
        if misbehave is not None:
            return misbehave(self, body)
        return self.count(body)

    def count(self, body: bytes) -> Reply:
        """Apply the counting rule to one body."""
        batch = json.loads(body)
        sender, seq = batch["client"]["id"], batch["client"]["seq"]
        digest = sha256(body).hexdigest()
        with self._changed:
            last, last_digest, accepted = self._last.get(sender, (0, "", 0))
            if seq == last and digest != last_digest:
                return Reply(422)
            if seq > last + 1:
                return Reply(409)
            duplicate = seq <= last
            if not duplicate:
                accepted = self._apply(batch)
                self._last[sender] = (seq, digest, accepted)
            self._changed.notify_all()
        echo = {"accepted": accepted if seq >= last else None, "client": batch["client"], "duplicate": duplicate}
        return Reply(200, json.dumps(echo).encode())

    def forget_senders(self) -> None:
        """Lose all memory of who sent what."""
        with self._changed:
            self._last.clear()

    def wait_for(self, condition: Callable[["ScriptedSidecar"], bool]) -> bool:
        """Wait until the condition holds after a request; False after a deadline."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self), DEADLINE_SECONDS)

    def _apply(self, batch: dict[str, Any]) -> int:
        accepted = 0
        for name, item in batch.get("functions", {}).items():
            if name == self.rejected_name:
                continue
            calls = item["calls"] * item.get("sample_every", 1)
            self.calls[name] += calls
            self.errors[name] += item["errors"]
            self.total_ns[name] += item["total_ns"]
            self.items.append((name, item))
            accepted += calls
        for loss in ("dropped", "rejected", "unknown"):
            self.losses[loss] += batch.get(loss, 0)
        self.finals += bool(batch.get("final"))
        return accepted


def _handler(sidecar: ScriptedSidecar) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            reply = sidecar.handle(self.path, dict(self.headers), body)
            if reply is None:
                self.close_connection = True
                with suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Stay silent."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what several tests are about."""


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(str(self.server_address))
        self.server_name, self.server_port = "localhost", 80

    def get_request(self) -> tuple[socket.socket, Any]:
        request, _address = self.socket.accept()
        return request, ("unix", 0)


@contextmanager
def serve(
    sidecar: ScriptedSidecar, *, port: int = 0, unix: Path | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedSidecar]:
    """Run the sidecar on a port of the loopback interface, or on a unix socket, until the block ends."""
    handler = _handler(sidecar)
    server = _Server(("127.0.0.1", port), handler) if unix is None else _UnixServer(str(unix), handler)  # type: ignore[arg-type]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    sidecar.url = f"unix://{unix}" if unix else f"{scheme}://localhost:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield sidecar
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
