import json
from collections.abc import Iterator

import pytest
from aiohttp import web

from chronoprof_sidecar import errors
from chronoprof_sidecar.server.errors import STATUS, answer_http, answer_refusal

NEVER_ANSWERED = {errors.ChronoprofError, errors.SettingsError, errors.StoreError}
"""They end the process, or keep it from starting."""


def deliberate_errors() -> Iterator[type[errors.ChronoprofError]]:
    """Yield the errors that both sides share; those of the command line never reach a request."""
    for each in vars(errors).values():
        if isinstance(each, type) and issubclass(each, errors.ChronoprofError):
            yield each


def body_of(answer: web.Response) -> dict[str, dict[str, str]]:
    assert isinstance(answer.body, bytes)
    decoded: dict[str, dict[str, str]] = json.loads(answer.body)
    return decoded


def test_every_deliberate_error_has_a_status() -> None:
    """No refusal that a request can cause turns into a 500."""
    expected = {each.code for each in set(deliberate_errors()) - NEVER_ANSWERED}
    assert expected == set(STATUS)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MalformedRequestError("m"), 400),
        (errors.UnauthorizedError("m"), 401),
        (errors.ForbiddenError("m"), 403),
        (errors.NotFoundError("m"), 404),
        (errors.BodyTimeoutError("m"), 408),
        (errors.GenerationConflictError("m"), 409),
        (errors.FileExistsConflictError("m"), 409),
        (errors.SequenceGapError("m"), 409),
        (errors.BodyTooLargeError("m"), 413),
        (errors.UnsupportedMediaError("m"), 415),
        (errors.MisdirectedError("m"), 421),
        (errors.SequenceReusedError("m"), 422),
        (errors.TooManyBadKeysError("m"), 429),
        (errors.UnavailableError("m"), 503),
        (errors.SavesFullError("m"), 507),
    ],
    ids=lambda value: value.code if isinstance(value, errors.ChronoprofError) else "",
)
def test_refusal_is_json_with_its_code_and_message(error: errors.ChronoprofError, status: int) -> None:
    """A refusal answers with the status of the contract, its code for programs and its message for people."""
    answer = answer_refusal(error)
    assert status == answer.status
    assert body_of(answer) == {"error": {"code": error.code, "message": "m"}}
    assert answer.content_type == "application/json"


@pytest.mark.parametrize("error", [errors.UnavailableError("m", 7), errors.TooManyBadKeysError("m", 7)])
def test_refusal_for_now_says_when_to_come_back(error: errors.ChronoprofError) -> None:
    """503 and 429 carry Retry-After in seconds."""
    assert answer_refusal(error).headers["Retry-After"] == "7"


def test_missing_key_is_told_the_scheme() -> None:
    """A 401 names the scheme that may carry a key."""
    assert answer_refusal(errors.UnauthorizedError("m")).headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("error", [errors.BodyTimeoutError("m"), errors.BodyTooLargeError("m")])
def test_unread_body_ends_the_connection(error: errors.ChronoprofError) -> None:
    """After a body that was not read to its end, the connection is not used again."""
    assert answer_refusal(error).keep_alive is False


def test_framework_errors_keep_allow() -> None:
    """A 405 of the framework becomes JSON and still says which methods there are."""
    answer = answer_http(web.HTTPMethodNotAllowed("PUT", ["GET", "HEAD"]))
    assert body_of(answer)["error"]["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == "GET,HEAD"
