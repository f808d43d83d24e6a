import pytest
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.server.context import LIFECYCLE, STORE
from chronoprof_sidecar.settings import Settings


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
async def test_a_serving_sidecar_is_well(aiohttp_client: AiohttpClient, settings: Settings, path: str) -> None:
    """A sidecar that serves says so without a key, to GET and HEAD."""
    client = await aiohttp_client(create_app(settings))
    answer = await client.get(path)
    assert (answer.status, await answer.json()) == (200, {"status": "ok"})
    assert (await client.head(path)).status == 200


async def test_a_draining_sidecar_is_alive_and_not_ready(aiohttp_client: AiohttpClient, settings: Settings) -> None:
    """While it stops, a sidecar is alive, and sends new work elsewhere."""
    app = create_app(settings)
    client = await aiohttp_client(app)
    app[LIFECYCLE].draining = True
    answer = await client.get("/health/ready")
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert answer.headers["Connection"] == "close"
    assert (await answer.json())["error"] == {"code": "unavailable", "message": "draining"}
    assert (await client.get("/health/live")).status == 200


async def test_a_refusing_store_is_not_ready(aiohttp_client: AiohttpClient, settings: Settings) -> None:
    """While the store takes no batches, readiness says why."""
    app = create_app(settings)
    client = await aiohttp_client(app)
    app[STORE].refuse()
    answer = await client.get("/health/ready")
    assert answer.status == 503
    assert (await answer.json())["error"]["message"] == app[STORE].unready_reason()
