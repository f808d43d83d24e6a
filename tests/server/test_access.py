from dataclasses import replace

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.auth import MAX_BAD_KEYS, Role
from chronoprof_sidecar.server.app import ROUTES, Route, create_app
from chronoprof_sidecar.settings import Settings
from tests.server.harness import ADMIN, API, KEYS, Client, headers_of

REFUSED = {401, 403, 421, 429}
KEYED = [route for route in ROUTES if route.role is not None]
PUBLIC = [route for route in ROUTES if route.role is None]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
async def keyless(aiohttp_client: AiohttpClient, settings: Settings) -> Client:
    """Return a client that sends no key unless told to."""
    return await aiohttp_client(create_app(settings))


async def status_of(client: Client, route: Route, headers: dict[str, str], query: str = "") -> int:
    path = route.path.format(name="none.json", asset="main.js")
    answer = await client.request(route.method, path + query, headers=headers)
    return answer.status


@pytest.mark.parametrize("route", KEYED, ids=name_of)
async def test_role_decides(keyless: Client, route: Route) -> None:
    """Every route takes keys of its own role and of admins, and answers 403 to all others."""
    for role in Role:
        status = await status_of(keyless, route, headers_of(role))
        if role in (route.role, Role.ADMIN):
            assert status not in REFUSED
        else:
            assert status == 403


@pytest.mark.parametrize("route", KEYED, ids=name_of)
async def test_no_key_no_entry(keyless: Client, route: Route) -> None:
    """Without a key in a header, or with one only in the query, every route that needs one answers 401."""
    assert await status_of(keyless, route, {}) == 401
    assert await status_of(keyless, route, {"X-API-Key": ""}) == 401
    assert await status_of(keyless, route, {}, f"?X-API-Key={KEYS[Role.ADMIN]}") == 401
    assert await status_of(keyless, route, {"X-API-Key": KEYS[Role.ADMIN] + "x"}) == 401


@pytest.mark.parametrize("route", PUBLIC, ids=name_of)
async def test_public_routes_need_no_key(keyless: Client, route: Route) -> None:
    """Health and description are open to everyone."""
    assert await status_of(keyless, route, {}) == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Authorization", f"Bearer {KEYS[Role.READ]}")], 200),
        ([("Authorization", f"bearer  {KEYS[Role.READ]}")], 200),
        ([("Authorization", f"Bearer {KEYS[Role.READ]}"), ("X-API-Key", KEYS[Role.READ])], 200),
        ([("Authorization", "Basic dXNlcjpwYXNz"), ("X-API-Key", KEYS[Role.READ])], 200),
        ([("Authorization", f"Basic {KEYS[Role.READ]}")], 401),
        ([("Authorization", KEYS[Role.READ])], 401),
        ([("Authorization", "Bearer ")], 401),
        ([("Authorization", f"Bearer {KEYS[Role.READ]}"), ("X-API-Key", KEYS[Role.ADMIN])], 400),
        ([("X-API-Key", KEYS[Role.READ]), ("X-API-Key", KEYS[Role.ADMIN])], 400),
        ([("X-API-Key", "schlüssel-den-niemand-kennt")], 401),
    ],
)
async def test_where_a_key_may_stand(keyless: Client, headers: list[tuple[str, str]], status: int) -> None:
    """A key stands in X-API-Key or behind Bearer; two that differ are refused, whichever is good."""
    answer = await keyless.get(f"{API}/data", headers=headers)
    assert answer.status == status


async def test_guessing_is_slowed_down_and_good_keys_pass(keyless: Client) -> None:
    """After ten bad keys in a minute an address gets 429 with Retry-After, while good keys from it still pass."""
    for number in range(MAX_BAD_KEYS):
        answer = await keyless.get(f"{API}/data", headers={"X-API-Key": f"guess-{number}"})
        assert answer.status == 401
    answer = await keyless.get(f"{API}/data", headers={"X-API-Key": "one-guess-too-many"})
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    answer = await keyless.get(f"{API}/data", headers=ADMIN)
    assert answer.status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://[", "http://127.0.0.1:1"])
async def test_foreign_pages_change_nothing(client: Client, origin: str) -> None:
    """A changing request from a page of another origin is refused, even with a good key."""
    answer = await client.post(f"{API}/reset", headers={"Origin": origin})
    assert answer.status == 403


async def test_own_pages_may_change(client: Client) -> None:
    """A changing request from a page of this very host passes, also behind a proxy that adds TLS."""
    for scheme in ("http", "https"):
        origin = f"{scheme}://{client.host}:{client.port}"
        answer = await client.post(f"{API}/reset", headers={"Origin": origin})
        assert answer.status == 204


async def test_foreign_pages_are_no_matter_where_nothing_changes(client: Client) -> None:
    """Reading is protected by the key alone; browsers show no answer to a foreign page anyway."""
    answer = await client.get(f"{API}/data", headers={"Origin": "https://evil.example"})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("sidecar.internal", 200),
        ("SIDECAR.internal:8000", 200),
        ("[::1]:8000", 200),
        ("[::1]", 200),
        ("evil.example", 421),
        ("sidecar.internal.evil.example", 421),
        ("sidecar.internal:8000:9000", 421),
    ],
)
async def test_allowed_hosts(aiohttp_client: AiohttpClient, settings: Settings, host: str, status: int) -> None:
    """With a list of allowed hosts, requests for any other name are refused, so no page can rebind its name to us."""
    allowed = replace(settings, allowed_hosts=("sidecar.internal", "[::1]"))
    client = await aiohttp_client(create_app(allowed), headers=ADMIN)
    answer = await client.get(f"{API}/data", headers={"Host": host})
    assert answer.status == status
    answer = await client.get("/health/ready", headers={"Host": host})
    assert answer.status == 200
