"""`GET /openapi.json`: the description of the API, written by hand beside this module."""

from functools import cache
from importlib.resources import files

from aiohttp import web

from chronoprof_sidecar.server.answers import answer_json


@cache
def read_description() -> bytes:
    """Return the OpenAPI document as it is packaged."""
    return files("chronoprof_sidecar.server").joinpath("openapi.json").read_bytes()


async def get_openapi(_request: web.Request) -> web.Response:
    """Serve the OpenAPI 3.1 description."""
    return answer_json(read_description())
