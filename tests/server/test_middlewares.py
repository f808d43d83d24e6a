import logging
import time

import pytest
from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.auth import BadKeyLimiter, Keyring
from chronoprof_sidecar.server.access import Gate
from chronoprof_sidecar.server.context import GATE, LIFECYCLE, Lifecycle
from chronoprof_sidecar.server.middlewares import guard_requests
from tests.server.harness import API, Client


async def test_unknown_path_is_json(client: Client) -> None:
    """A 404 has the shape of every other error, with or without a key."""
    for headers in ({}, {"X-API-Key": ""}):
        answer = await client.get("/nowhere", headers=headers)
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "not_found"


async def test_wrong_method_is_json_and_names_the_right_ones(client: Client) -> None:
    """A 405 has the shape of every other error, and the Allow header."""
    answer = await client.put(f"{API}/data")
    assert answer.status == 405
    assert (await answer.json())["error"]["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == "GET,HEAD"


@pytest.mark.parametrize("path", ["/health", "/nowhere", f"{API}/data"])
async def test_request_id_is_echoed(client: Client, path: str) -> None:
    """An id that a proxy made is found again in the answer, whatever the answer is."""
    answer = await client.get(path, headers={"X-Request-ID": "proxy-7.a_B"})
    assert answer.headers["X-Request-ID"] == "proxy-7.a_B"


@pytest.mark.parametrize("given", [None, "", "a" * 65, "a b", "<script>", "ü"])
async def test_request_id_is_made_where_none_is_fit(client: Client, given: str | None) -> None:
    """Every answer has an id of harmless characters, even when asked to echo others."""
    answer = await client.get("/health", headers={} if given is None else {"X-Request-ID": given})
    made = answer.headers["X-Request-ID"]
    assert made != given
    assert made.isalnum()


@pytest.mark.parametrize("path", ["/health", "/nowhere", f"{API}/data", f"{API}/saves/none.json"])
async def test_answers_stay_out_of_caches_and_guesses(client: Client, path: str) -> None:
    """No answer is stored by a proxy, interpreted as something else, or tells the server's make."""
    answer = await client.get(path)
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "chronoprof-sidecar"


async def break_down(_request: web.Request) -> web.Response:
    raise ZeroDivisionError("internal detail")


async def test_bug_is_answered_without_details_and_logged_once(
    aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen error gives JSON that says nothing, and one log record with traceback and id but no query."""
    app = web.Application(middlewares=[guard_requests()])
    app[GATE] = Gate(Keyring({}), BadKeyLimiter(time.monotonic), {break_down: None}, ())
    app[LIFECYCLE] = Lifecycle()
    app.add_routes([web.get("/break", break_down)])
    client = await aiohttp_client(app)
    with caplog.at_level(logging.DEBUG, logger="chronoprof_sidecar"):
        answer = await client.get("/break?key=secret-in-the-query", headers={"X-Request-ID": "the-id"})
    assert answer.status == 500
    assert (await answer.json())["error"]["code"] == "internal"
    assert "internal detail" not in await answer.text()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "the-id" in caplog.text
    assert "secret" not in caplog.text


async def test_refusal_is_logged_without_the_key(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """What is logged about a refused request names its id, and neither its key nor its query."""
    with caplog.at_level(logging.DEBUG, logger="chronoprof_sidecar"):
        answer = await client.get(f"{API}/data?key=secret-query", headers={"X-API-Key": "a-secret-nobody-issued"})
    assert answer.status == 401
    assert answer.headers["X-Request-ID"] in caplog.text
    assert "secret" not in caplog.text
