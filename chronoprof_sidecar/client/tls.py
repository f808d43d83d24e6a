"""TLS over a non-blocking socket, with certificates checked as the system's trust store says.

Apart from `sockets` because importing `ssl` costs every app megabytes, and only `https` needs it.
Encrypts in memory and leaves the socket a plain one: `ssl`'s own sockets break where gevent patches them after the
context was made.
"""

import select
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from chronoprof_sidecar.client.patience import Patience
from chronoprof_sidecar.client.sockets import Connection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")

_CHUNK_BYTES: Final = 64 * 1024
"""Encrypted or received at a time: a few of the 16 KiB that a TLS record holds at most."""


class TlsConnection(Connection):
    """A connection whose bytes are encrypted and whose peer has proved its name."""

    def __init__(self, connected: socket.socket, patience: Patience, *, context: ssl.SSLContext, hostname: str) -> None:
        super().__init__(connected, patience)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)
            self._through(self._tls.do_handshake)
        except BaseException:
            connected.close()
            raise

    def receive_into(self, buffer: "WriteableBuffer") -> int:
        """Wait for bytes, receive some into the buffer, and return how many; 0 at the end of the stream."""
        view = memoryview(buffer)
        try:
            received = self._through(lambda: self._tls.read(len(view)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # with or without a farewell; HTTP knows what is missing
            return 0
        view[: len(received)] = received
        return len(received)

    def _send(self, data: memoryview) -> int:
        return self._through(lambda: self._tls.write(data[:_CHUNK_BYTES]))

    def _through(self, step: Callable[[], T]) -> T:
        """Take a step of the protocol, and carry bytes to and fro until it is through."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._carry_out()
            received = self.until_done(lambda: self._socket.recv(_CHUNK_BYTES), select.POLLIN)
            if received:
                self._incoming.write(received)
            else:
                self._incoming.write_eof()

    def _carry_out(self) -> None:
        rest = memoryview(self._outgoing.read())
        while rest:
            rest = rest[super()._send(rest) :]


def make_context() -> ssl.SSLContext:
    """Return a context that checks certificates and host names (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured)."""
    return ssl.create_default_context()
