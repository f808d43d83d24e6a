"""A small instrumented Starlette app, for servers that speak ASGI."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from chronoprof_sidecar.client import profiler
from chronoprof_sidecar.client.asgi import ProfilingMiddleware

NAMES = ("GET /items/{item:int}", "tests.hosts.starlette_app.look_up")


@profiler.timed
async def look_up(item: int) -> dict[str, int]:
    """Do what every request does."""
    return {"item": item}


async def get_item(request: Request) -> JSONResponse:
    """Answer an item."""
    return JSONResponse(await look_up(request.path_params["item"]))


app = ProfilingMiddleware(Starlette(routes=[Route("/items/{item:int}", get_item)]))
