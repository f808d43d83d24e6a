"""TLS over a non-blocking socket, with certificates checked as the system's trust store says.

Apart from `sockets` because importing `ssl` costs every app megabytes, and only `https` needs it.
"""

import select
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

from chronoprof_sidecar.client.patience import Patience
from chronoprof_sidecar.client.sockets import Connection

T = TypeVar("T")


class TlsConnection(Connection):
    """A connection whose bytes are encrypted and whose peer has proved its name."""

    def __init__(self, connected: socket.socket, patience: Patience, *, context: ssl.SSLContext, hostname: str) -> None:
        try:
            wrapped = context.wrap_socket(connected, server_hostname=hostname, do_handshake_on_connect=False)
        except BaseException:
            connected.close()
            raise
        super().__init__(wrapped, patience)
        try:
            self.until_done(wrapped.do_handshake, select.POLLIN)
        except BaseException:
            wrapped.close()
            raise

    def until_done(self, operation: Callable[[], T], event: int) -> T:
        """Repeat a non-blocking operation; TLS itself says which event it waits for."""
        while True:
            try:
                return super().until_done(operation, event)
            except ssl.SSLWantReadError:
                self.patience.until_ready(self._socket.fileno(), select.POLLIN)
            except ssl.SSLWantWriteError:
                self.patience.until_ready(self._socket.fileno(), select.POLLOUT)


def make_context() -> ssl.SSLContext:
    """Return a context that checks certificates and host names (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured)."""
    return ssl.create_default_context()
