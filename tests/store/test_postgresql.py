"""The fleet store fulfils the contract, and what only it promises: replicas, a server that fails, a quorum."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

import asyncpg
import pytest

from chronoprof_sidecar.settings import Settings, load_settings
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.postgresql import open_store
from tests.store.contract_suite import StoreContract
from tests.store.harness import Clock, StoreHarness
from tests.store.server import PostgresqlServer, running_server

pytestmark = pytest.mark.system


def make_settings(url: str, **overrides: Any) -> Settings:
    """Return settings of a store in the database at `url`."""
    environ = {"CHRONOPROF_ADMIN_KEYS": "an admin key of tests", "CHRONOPROF_STORE": url}
    return replace(load_settings(environ), **overrides)


def make_harness(url: str) -> StoreHarness:
    """Return a harness of a store in the database at `url`."""

    async def open_with(overrides: dict[str, Any], clock: Clock, monotonic: Callable[[], float]) -> Store:
        return await open_store(make_settings(url, **overrides), clock_ns=clock, monotonic=monotonic)

    return StoreHarness(open_with)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """One server for all tests; each has a database of its own."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def new_database(server: PostgresqlServer) -> Callable[[], Awaitable[str]]:
    """Make a database, and return its URL."""
    numbers = count()

    async def make() -> str:
        name = f"chronoprof_{next(numbers)}"
        connection = await asyncpg.connect(server.url())
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        return server.url(name)

    return make


@pytest.fixture
async def url(new_database: Callable[[], Awaitable[str]]) -> str:
    return await new_database()


@pytest.fixture
async def harness(url: str) -> AsyncIterator[StoreHarness]:
    harness = make_harness(url)
    yield harness
    await harness.close()


class TestPostgresqlStore(StoreContract):
    """The whole contract."""
