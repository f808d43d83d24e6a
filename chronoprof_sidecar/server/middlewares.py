"""The one middleware: every request gets an id, passes the gate, and every error becomes JSON.

One instead of three, since each costs every ingest request a coroutine.
"""

import logging
import re
import secrets
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from chronoprof_sidecar.errors import ChronoprofError
from chronoprof_sidecar.protocol import REQUEST_ID_HEADER
from chronoprof_sidecar.server.context import GATE, LIFECYCLE, REQUEST_ID
from chronoprof_sidecar.server.errors import STATUS, answer_bug, answer_http, answer_refusal

logger = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@web.middleware
async def guard_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Identify the request, let it pass or refuse it, and turn what goes wrong into an answer."""
    request_id = request[REQUEST_ID] = _identify(request)
    try:
        request.app[GATE].check(request)
        answer = await handler(request)
    except Exception as error:  # noqa: BLE001 -- whatever it is, the client gets JSON and the log gets the traceback
        answer = _answer_error(request, error)
    if not answer.prepared:
        answer.headers[REQUEST_ID_HEADER] = request_id
        if request.app[LIFECYCLE].draining:
            answer.force_close()
    return answer


def _identify(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID_HEADER)
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(8)


def _answer_error(request: web.Request, error: Exception) -> web.StreamResponse:
    if isinstance(error, web.HTTPException):
        return answer_http(error)
    if isinstance(error, ChronoprofError) and error.code in STATUS:
        # Debug, since the caller is told, and who can cause refusals could fill a disk with lines about them.
        logger.debug("%s %s refused: %s (request %s)", request.method, request.path, error.code, request[REQUEST_ID])
        return answer_refusal(error)
    if request.transport is not None:  # else the client has gone, and whatever broke for that reason is no bug
        logger.error("%s %s failed (request %s)", request.method, request.path, request[REQUEST_ID], exc_info=error)
    return answer_bug()
