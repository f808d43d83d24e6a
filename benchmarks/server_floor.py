"""The least that an aiohttp service does with a request: it reads the body and answers. `bench_server` starts it.

    python -m benchmarks.server_floor

Prints its port. It runs on the event loop that the sidecar runs on: uvloop if that is installed.
"""

import asyncio
import socket
from importlib.util import find_spec

from aiohttp import web


async def read_body(request: web.Request) -> web.Response:
    """Read, and nothing else."""
    await request.read()
    return web.Response()


def main() -> None:
    """Serve until SIGTERM."""
    app = web.Application()
    app.add_routes([web.post("/{path:.*}", read_body)])
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    web.run_app(app, sock=listening, access_log=None, print=None, loop=_new_loop())


def _new_loop() -> asyncio.AbstractEventLoop:
    if find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    from uvloop import new_event_loop  # noqa: PLC0415  optional, as for the sidecar

    return new_event_loop()


if __name__ == "__main__":
    main()
