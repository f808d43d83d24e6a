"""Sockets that never block: resolving, connecting, and the object that `http.client` takes for a socket.

Owns name resolution and plain sockets (`tls` adds encryption). Must not know HTTP. All waiting is `patience`'s.
"""

import errno
import io
import os
import select
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chronoprof_sidecar.client.native import make_lock, make_socket, resolve_host, start_thread
from chronoprof_sidecar.client.patience import Patience

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR})

T = TypeVar("T")
Address = tuple[int, Any]
"""A socket family and an address to connect to in it."""


class Connection:
    """A connected, non-blocking socket with the methods that `http.client` needs."""

    def __init__(self, connected: socket.socket, patience: Patience) -> None:
        self._socket = connected
        self.patience = patience
        """The patience of the exchange that is going on."""

    def sendall(self, data: "ReadableBuffer") -> None:
        """Send every byte, or raise."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._send(rest) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader of one response; closing it leaves the connection open."""
        if mode != "rb":
            raise ValueError(f"a response is read as bytes, not in mode {mode!r}")
        return io.BufferedReader(_Incoming(self))

    def receive_into(self, buffer: "WriteableBuffer") -> int:
        """Wait for bytes, receive some into the buffer, and return how many; 0 at the end of the stream."""
        return self.until_done(lambda: self._socket.recv_into(buffer), select.POLLIN)

    def until_done(self, operation: Callable[[], T], event: int) -> T:
        """Repeat a non-blocking operation, waiting for the event in between, until it is through."""
        while True:
            try:
                return operation()
            except BlockingIOError:
                self.patience.until_ready(self._socket.fileno(), event)

    def close(self) -> None:
        """Do nothing: `http.client` says so before it has read a last response; see `hang_up`."""

    def hang_up(self) -> None:
        """Close the socket."""
        self._socket.close()

    def abandon(self) -> None:
        """Close nothing but the file descriptor.

        For a forked child, whose copy of this object may be in the middle of anything.
        """
        descriptor = self._socket.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def _send(self, data: memoryview) -> int:
        return self.until_done(lambda: self._socket.send(data), select.POLLOUT)


class _Incoming(io.RawIOBase):
    """The bytes of one response, as a raw stream."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        return self._connection.receive_into(buffer)


class Resolver:
    """Looks one host up, in a thread of its own: `getaddrinfo` cannot be given a deadline.

    At most one look-up is under way; one that outlasts its exchange is waited for again by the next.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._under_way: _Lookup | None = None

    def addresses(self, patience: Patience) -> list[Address]:
        """Return the addresses of the host, in the order of the system's preference.

        Raises:
            OSError: there are none, or not in time.
        """
        literal = _parse_literal(self._host, self._port)
        if literal is not None:
            return [literal]
        if self._under_way is None:
            self._under_way = _Lookup(self._host, self._port)
        addresses = self._under_way.wait(patience)
        self._under_way = None
        if not addresses:
            raise OSError("the host name cannot be resolved")
        return addresses


class _Lookup:
    """One call of `getaddrinfo`, running from the start."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._addresses: list[Address] = []
        self._running = make_lock()
        self._running.acquire()
        try:
            start_thread(self._run, ())
        except RuntimeError:  # where no thread can start, the caller waits as long as the system does
            self._run()

    def wait(self, patience: Patience) -> list[Address]:
        while not self._running.acquire(timeout=patience.tick()):
            pass
        self._running.release()
        return self._addresses

    def _run(self) -> None:
        try:
            found = resolve_host(*self._target, type=socket.SOCK_STREAM)
            self._addresses = [(family, address) for family, _, _, _, address in found]
        except OSError:
            self._addresses = []
        finally:
            self._running.release()


def open_socket(addresses: list[Address], patience: Patience) -> socket.socket:
    """Return a non-blocking socket connected to the first address that answers.

    Raises:
        OSError: none does; the error is the last one's.
    """
    failure: OSError | None = None
    for family, address in addresses:
        opened = make_socket(family, socket.SOCK_STREAM)
        try:
            opened.setblocking(False)
            _connect(opened, address, patience)
        except BaseException as error:
            opened.close()
            if not isinstance(error, OSError) or isinstance(error, TimeoutError):
                raise
            failure = error
        else:
            if family != socket.AF_UNIX:
                # A request is a short head and a body; Nagle's algorithm would hold the body back.
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return opened
    raise failure or OSError("there is no address to connect to")


def _connect(opened: socket.socket, address: Any, patience: Patience) -> None:
    code = opened.connect_ex(address)
    if code in _IN_PROGRESS:
        patience.until_ready(opened.fileno(), select.POLLOUT)
        code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _parse_literal(host: str, port: int) -> Address | None:
    """Return the address that a numeric host is; None for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family, (host, port)
    return None
