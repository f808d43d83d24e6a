"""A client that sends what it likes, byte by byte."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chronoprof_sidecar.server.listening import Listener
from tests.server.harness import ADMIN, API


@asynccontextmanager
async def connection(listener: Listener) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the first address of `listener`, and be gone without a farewell at the end."""
    host, _, port = listener.addresses[0].removeprefix("http://").rpartition(":")
    connected = socket.socket()
    # Small, so that what this end does not read stays with the server instead of in the kernel.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connected.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connected, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connected)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def head(method: str, path: str, *lines: str) -> bytes:
    """Return the head of a request with the admin key."""
    common = ["Host: x", *(f"{name}: {value}" for name, value in ADMIN.items())]
    return "\r\n".join([f"{method} {API}{path} HTTP/1.1", *common, *lines, "", ""]).encode()


async def ask(listener: Listener, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    async with connection(listener) as (reader, writer):
        writer.write(request)
        return await reader.read()
