"""What the tests of the server share: keys of every role, and a server with real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestClient

from chronoprof_sidecar.auth import Role
from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.server.connections import ConnectionGuard
from chronoprof_sidecar.server.listening import Listener
from chronoprof_sidecar.settings import Settings

KEYS = {role: f"{role}-key-of-the-tests" for role in Role}

Client = TestClient[web.Request, web.Application]


def headers_of(role: Role) -> dict[str, str]:
    """Return the headers that a holder of a key of `role` sends."""
    return {"X-API-Key": KEYS[role]}


ADMIN = headers_of(Role.ADMIN)
API = "/api/v1/profiling"


async def ingest(client: Client, durations: dict[str, list[float]], /, **envelope: object) -> None:
    """Count calls: durations in seconds by function name."""
    answer = await client.post(f"{API}/ingest", json={"durations": durations, **envelope})
    assert answer.status == 200


@asynccontextmanager
async def listening(settings: Settings) -> AsyncIterator[Listener]:
    """Serve with real sockets and a real guard, as the process does."""
    runner = web.AppRunner(create_app(settings), shutdown_timeout=1.0)
    listener = Listener(settings)
    await runner.setup()
    assert runner.server is not None
    guard = ConnectionGuard(runner.server, settings)
    watch = asyncio.create_task(guard.watch())
    try:
        await listener.open(guard)
        yield listener
    finally:
        watch.cancel()
        listener.close()
        await runner.cleanup()
