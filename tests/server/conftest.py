"""A real application over a real store in a temporary directory."""

from pathlib import Path

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.auth import Role
from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.settings import Settings
from tests.server.harness import ADMIN, KEYS, Client


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings whose store lives in a temporary directory and whose port is any free one."""
    return Settings(
        port=0,
        data_dir=tmp_path / "data",
        admin_keys=(KEYS[Role.ADMIN],),
        read_keys=(KEYS[Role.READ],),
        ingest_keys=(KEYS[Role.INGEST],),
        min_free_bytes=0,
    )


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, settings: Settings) -> Client:
    """Return a client of the running application; it sends the admin key unless told otherwise."""
    return await aiohttp_client(create_app(settings), headers=ADMIN)
