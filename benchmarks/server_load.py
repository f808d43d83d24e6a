"""Load on a server: requests over raw keep-alive sockets and datagrams, all encoded beforehand.

One thread and one selector serve all connections, each with one request in flight, so that a request costs the load a
few microseconds of its own core. What it used of that core is part of every result: near all of it, and the load was
measured, not the server.
"""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import cycle
from selectors import EVENT_READ, DefaultSelector
from typing import Final, NamedTuple

_STALL_SECONDS: Final = 30.0
_BUFFER_BYTES: Final = 1 << 20
"""Of a socket: a whole request fits, so sending never waits."""

Feed = Callable[[], bytes | None]
"""Returns the next request of a connection, or None when there are no more."""


class Load(NamedTuple):
    """What a load came to."""

    seconds: float
    """From the first request to the last answer."""
    cpu_seconds: float
    """Of the load itself."""
    latencies_seconds: list[list[float]]
    """Of every answer, by connection, in the order of the feeds."""

    @property
    def requests(self) -> int:
        """How many were answered."""
        return sum(map(len, self.latencies_seconds))


class Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, port: int, feed: Feed) -> None:
        self._feed = feed
        self._due = 0.0
        self._head = b""
        self._missing = 0
        self.latencies_seconds: list[float] = []
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(_STALL_SECONDS)
        self.socket.connect(("127.0.0.1", port))

    def send(self, due: float) -> bool:
        """Send the next request, whose latency counts from `due`; say whether there was one."""
        request = self._feed()
        if request is None:
            return False
        self._due = due
        self._head = b""
        self.socket.sendall(request)
        return True

    def receive(self) -> bool:
        """Take what has arrived, and say whether the answer is whole.

        Raises:
            RuntimeError: the server hung up, or answered anything but 200.
        """
        chunk = self.socket.recv(_BUFFER_BYTES)
        if not chunk:
            raise RuntimeError("the server closed a connection under load")
        if self._head.endswith(b"\r\n\r\n"):
            self._missing -= len(chunk)
        else:
            self._read_head(self._head + chunk)
        if self._missing or not self._head.endswith(b"\r\n\r\n"):
            return False
        self.latencies_seconds.append(time.perf_counter() - self._due)
        return True

    def _read_head(self, received: bytes) -> None:
        head, end, body = received.partition(b"\r\n\r\n")
        self._head = head + end
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"the server refused a request: {received[:1000]!r}")
        length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        self._missing = int(length) - len(body)


def run_load(
    port: int | Sequence[int], feeds: Sequence[Feed], seconds: float, requests_per_second: float | None = None
) -> Load:
    """Send what the feeds give, a connection each, until they end or the time is over.

    Args:
        port: on 127.0.0.1; of several, the connections go to each in turn.
        feeds: one for each connection.
        seconds: after which no request is begun.
        requests_per_second: of all connections together; None: each sends as soon as it has its answer. A request
            that finds no free connection when it is due counts from then all the same.

    Raises:
        RuntimeError: an answer other than 200, or none in 30 seconds.
    """
    with ExitStack() as stack:
        selector = stack.enter_context(DefaultSelector())
        ports = cycle([port] if isinstance(port, int) else port)
        connections = [Connection(next(ports), feed) for feed in feeds]
        for connection in connections:
            stack.enter_context(connection.socket)
            selector.register(connection.socket, EVENT_READ, connection)
        started, cpu = time.perf_counter(), time.thread_time()
        if requests_per_second is None:
            _send_at_once(selector, connections, started + seconds)
        else:
            _send_paced(selector, connections, started + seconds, 1 / requests_per_second)
        passed, cpu = time.perf_counter() - started, time.thread_time() - cpu
    return Load(passed, cpu, [connection.latencies_seconds for connection in connections])


def send_datagrams(port: int, datagrams: Sequence[bytes], seconds: float) -> int:
    """Send datagrams over and over, as fast as this core can, and return how many were sent."""
    sent = 0
    deadline = time.perf_counter() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        sending.connect(("127.0.0.1", port))
        while time.perf_counter() < deadline:
            for datagram in datagrams:
                sending.send(datagram)
            sent += len(datagrams)
    return sent


def _send_at_once(selector: DefaultSelector, connections: Sequence[Connection], deadline: float) -> None:
    busy = sum(connection.send(time.perf_counter()) for connection in connections)
    while busy:
        for connection in _wait(selector, _STALL_SECONDS):
            if connection.receive():
                now = time.perf_counter()
                if now >= deadline or not connection.send(now):
                    busy -= 1


def _send_paced(selector: DefaultSelector, connections: Sequence[Connection], deadline: float, gap: float) -> None:
    due = time.perf_counter()
    idle = list(connections)
    while due < deadline or len(idle) < len(connections):
        # Never asleep: a selector sleeps whole milliseconds, and the load has a core of its own.
        idle.extend(connection for connection in _wait(selector, 0) if connection.receive())
        while idle and due < deadline and due <= time.perf_counter():
            idle.pop().send(due)
            due += gap
        if time.perf_counter() > deadline + _STALL_SECONDS:
            raise RuntimeError("the server stopped answering")


def _wait(selector: DefaultSelector, timeout: float) -> list[Connection]:
    ready: list[Connection] = [key.data for key, _ in selector.select(timeout)]
    if timeout and not ready:
        raise RuntimeError("the server stopped answering")
    return ready
