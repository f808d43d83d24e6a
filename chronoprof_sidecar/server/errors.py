"""What a refusal looks like over HTTP.

Owns the one table from error code to status, and what else such an answer carries. The errors themselves know no HTTP.
"""

import re
from http import HTTPStatus
from typing import Final

from aiohttp import web

from chronoprof_sidecar import errors
from chronoprof_sidecar.server.answers import answer_json
from chronoprof_sidecar.wire.reports import render_error

STATUS: Final = {
    errors.MalformedRequestError.code: 400,
    errors.UnauthorizedError.code: 401,
    errors.ForbiddenError.code: 403,
    errors.NotFoundError.code: 404,
    errors.BodyTimeoutError.code: 408,
    errors.GenerationConflictError.code: 409,
    errors.FileExistsConflictError.code: 409,
    errors.SequenceGapError.code: 409,
    errors.BodyTooLargeError.code: 413,
    errors.UnsupportedMediaError.code: 415,
    errors.MisdirectedError.code: 421,
    errors.SequenceReusedError.code: 422,
    errors.TooManyBadKeysError.code: 429,
    errors.UnavailableError.code: 503,
    errors.SavesFullError.code: 507,
}

_MESSAGES: Final = {
    404: "there is nothing at this path",
    405: "this path does not take this method; the Allow header names those it takes",
    417: "the only expectation that is met here is 100-continue",
}
_NO_WORD = re.compile("[^a-z]+")


def answer_refusal(error: errors.ChronoprofError) -> web.Response:
    """Return the answer to a deliberate error.

    Raises:
        KeyError: the error has no status, since nothing that a request can cause raises it.
    """
    status = STATUS[error.code]
    answer = answer_json(render_error(error.code, str(error)), status)
    if isinstance(error, errors.UnauthorizedError):
        answer.headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, 15.5.2: a 401 names at least one scheme
    if isinstance(error, (errors.UnavailableError, errors.TooManyBadKeysError)):
        answer.headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, (errors.BodyTimeoutError, errors.BodyTooLargeError)):
        answer.force_close()  # what is left of the body is not worth reading
    return answer


def answer_http(error: web.HTTPException) -> web.Response:
    """Return the answer to an error of the framework, such as 404, 405 and 417; `Allow` is kept."""
    status = error.status
    phrase = HTTPStatus(status).phrase
    answer = answer_json(render_error(_NO_WORD.sub("_", phrase.lower()), _MESSAGES.get(status, phrase)), status)
    if "Allow" in error.headers:
        answer.headers["Allow"] = error.headers["Allow"]
    return answer


def answer_bug() -> web.Response:
    """Return the answer to an error that nobody meant to raise; the log has the details."""
    return answer_json(render_error("internal", "this is a bug in the sidecar; its log has more"), 500)


def answer_not_http() -> web.Response:
    """Return the answer to bytes that are no HTTP request; the connection closes behind it."""
    answer = answer_json(render_error("malformed", "this is not a valid HTTP request"), 400)
    answer.force_close()
    return answer
