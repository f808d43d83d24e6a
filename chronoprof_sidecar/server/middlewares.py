"""The one middleware: every request gets an id, passes the gate, and every error becomes JSON.

One instead of three, since each costs every ingest request a coroutine.
"""

import itertools
import logging
import re
import secrets
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from chronoprof_sidecar.errors import ChronoprofError
from chronoprof_sidecar.protocol import REQUEST_ID_HEADER
from chronoprof_sidecar.server.context import GATE, LIFECYCLE, REQUEST_ID
from chronoprof_sidecar.server.errors import STATUS, answer_bug, answer_http, answer_not_http, answer_refusal

logger = logging.getLogger(__name__)

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def guard_requests() -> Middleware:
    """Return the middleware of one application."""
    # Random per application, counted within it: unique is enough, and asking the kernel each time costs 15 µs.
    prefix, numbers = secrets.token_hex(4), itertools.count(1)

    @web.middleware
    async def guard_request(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Identify the request, let it pass or refuse it, and turn what goes wrong into an answer."""
        request_id = _given_id(request) or f"{prefix}{next(numbers):08x}"
        request[REQUEST_ID] = request_id
        try:
            if _has_uncertain_end(request):
                return answer_not_http()
            request.app[GATE].check(request)
            answer = await handler(request)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client gets JSON and the log gets the traceback
            answer = _answer_error(request, error)
        if not answer.prepared:
            answer.headers[REQUEST_ID_HEADER] = request_id
            # Where a body broke off, nobody knows where the next request would begin.
            if request.app[LIFECYCLE].draining or request.content.exception() is not None:
                answer.force_close()
        return answer

    return guard_request


def answer_before_middlewares(request: web.BaseRequest, refusal: web.HTTPException) -> web.Response:
    """Return the answer to what aiohttp refuses before any middleware sees it: an `Expect` other than 100-continue."""
    answer = answer_http(refusal)
    answer.headers[REQUEST_ID_HEADER] = _given_id(request) or secrets.token_hex(8)
    return answer


def _has_uncertain_end(request: web.Request) -> bool:
    """Say whether a proxy may see the end of the request elsewhere than we do.

    It is HTTP/1, and if it has a coding that is one and chunked (RFC 9112, 6.1): aiohttp's compiled parser sees to both
    by itself, the one in Python to neither.
    """
    codings = request.headers.get("Transfer-Encoding")
    return request.version.major != 1 or (codings is not None and codings.lower() != "chunked")


def _given_id(request: web.BaseRequest) -> str | None:
    given = request.headers.get(REQUEST_ID_HEADER)
    return given if given is not None and _REQUEST_ID.fullmatch(given) else None


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
