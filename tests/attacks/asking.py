"""Requests to a real sidecar that say exactly what they are told, from whichever address of this machine."""

import http.client
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.process.sidecar import DEADLINE_SECONDS, Sidecar

API = "/api/v1/profiling"
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


def other_addresses() -> Iterator[str]:
    """Yield addresses of the loopback network, each another client to the sidecar; Linux has all of them."""
    return (f"127.1.{high}.{low}" for high, low in itertools.product(range(256), range(1, 255)))


def ask(
    sidecar: Sidecar,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes | None = None,
    *,
    address: str = "127.0.0.1",
) -> Reply:
    """Send one request with these headers, Content-Length and, if it is missing, Host; return its answer."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", sidecar.port, timeout=DEADLINE_SECONDS, source_address=(address, 0)
    )
    try:
        named = any(name == "Host" for name, _ in headers)
        connection.putrequest(method, target, skip_host=named, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def with_key(key: str) -> Headers:
    """Return the header that shows a key."""
    return (("X-API-Key", key),)
