"""`/health`: for load balancers and orchestrators, so without a key and without figures."""

from typing import Final

from aiohttp import web

from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.server.answers import answer_json
from chronoprof_sidecar.server.context import LIFECYCLE, STORE

_OK: Final = b'{"status":"ok"}'


async def get_health(_request: web.Request) -> web.Response:
    """Say that the process serves requests."""
    return answer_json(_OK)


async def get_readiness(request: web.Request) -> web.Response:
    """Say that batches would be taken now; 503 with the reason otherwise."""
    reason = "draining" if request.app[LIFECYCLE].draining else request.app[STORE].unready_reason()
    if reason is not None:
        raise UnavailableError(reason)
    return answer_json(_OK)
