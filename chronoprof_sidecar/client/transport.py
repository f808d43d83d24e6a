"""One request to the sidecar over TCP, TLS or a unix socket, within its time limits.

Owns the connection and HTTP, and says for each request whether it was answered, may have arrived, or was never sent.
Must not know what is sent or what an answer means. Follows no redirect, uses no proxy, keeps the connection open.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Final, cast

from chronoprof_sidecar.client.delivery import Answer
from chronoprof_sidecar.client.patience import Patience
from chronoprof_sidecar.client.settings import Endpoint
from chronoprof_sidecar.client.sockets import Connection, Resolver, open_socket
from chronoprof_sidecar.protocol import CLIENT_HEADER, INGEST_PATH, KEY_HEADER, WIRE_VERSION

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS: Final = 2.0
TOTAL_SECONDS: Final = 10.0
_MAX_ANSWER_BYTES: Final = 256 * 1024


class NoAnswerError(Exception):
    """A request brought no answer; `sent` says whether any of it may have arrived."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Transport:
    """Posts ingest bodies, one at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._resolver = Resolver(endpoint.host, endpoint.port)
        self._connection: Connection | None = None
        self._tls: ssl.SSLContext | None = None
        if endpoint.tls:
            # Here, in the app's thread: an import under way in another thread while the app forks can lock the child.
            from chronoprof_sidecar.client import tls  # noqa: PLC0415

            self._tls = tls.make_context()

    def post(self, body: bytes, *, key: str, seconds: float, idle: Callable[[], None]) -> Answer:
        """Send one ingest body and return the answer.

        Args:
            body: the JSON text.
            key: the sidecar's ingest key.
            seconds: the most that all of it may take; connecting takes at most 2 s of it.
            idle: called about every 50 ms while waiting; what it raises ends the exchange.

        Raises:
            NoAnswerError: none came.
        """
        patience = Patience(seconds, idle)
        may_have_arrived = self._connection is not None
        try:
            if self._connection is not None:
                # The sidecar may have closed a connection that was kept open. The same bytes can be sent again even
                # if they arrived: that is what their sequence number is for.
                with contextlib.suppress(ConnectionError):
                    return self._exchange(self._connection, body, key, patience)
                self.close()
            self._connection = self._connect(patience.at_most(CONNECT_SECONDS))
            may_have_arrived = True
            return self._exchange(self._connection, body, key, patience)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError | HTTPException | ValueError):
                raise NoAnswerError(str(error) or type(error).__name__, sent=may_have_arrived) from error
            raise

    def close(self) -> None:
        """Close the connection, if there is one; the next request opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.hang_up()

    def abandon(self) -> None:
        """Let go of the parent's connection in a forked child, without a byte on it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()

    def _exchange(self, connection: Connection, body: bytes, key: str, patience: Patience) -> Answer:
        connection.patience = patience
        http = HTTPConnection(self._endpoint.host, self._endpoint.port)
        http.auto_open = 0  # it must never connect by itself: its sockets block
        http.sock = cast("socket.socket", connection)
        response = self._request(http, body, key)
        text = response.read(_MAX_ANSWER_BYTES + 1)
        answer = Answer(response.status, text, _retry_after_seconds(response.headers.get("Retry-After")))
        if response.will_close or not response.isclosed():
            self.close()
        return answer

    def _request(self, http: HTTPConnection, body: bytes, key: str) -> HTTPResponse:
        headers = {
            "Host": self._endpoint.authority,
            "Content-Type": "application/json",
            KEY_HEADER: key,
            CLIENT_HEADER: str(WIRE_VERSION),
        }
        try:
            http.request("POST", self._endpoint.base_path + INGEST_PATH, body, headers)
        except ConnectionError as error:
            # Whoever refuses a body before reading it all may have answered already, and why is worth knowing.
            try:
                return http.getresponse()
            except (OSError, HTTPException):
                raise error from None
        return http.getresponse()

    def _connect(self, patience: Patience) -> Connection:
        path = self._endpoint.socket_path
        if path is not None:
            return Connection(open_socket([(socket.AF_UNIX, path)], patience), patience)
        opened = open_socket(self._resolver.addresses(patience), patience)
        if self._tls is None:
            return Connection(opened, patience)
        from chronoprof_sidecar.client import tls  # noqa: PLC0415 - loaded in __init__

        return tls.TlsConnection(opened, patience, context=self._tls, hostname=self._endpoint.host)


def _retry_after_seconds(header: str | None) -> float | None:
    """Return what a `Retry-After` asks for: seconds, or the time until a date; None without a readable one."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:6])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
