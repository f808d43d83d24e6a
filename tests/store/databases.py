"""Fixtures: one PostgreSQL server for all tests of a module, and a database of its own for each."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import asyncpg
import pytest

from tests.store.server import PostgresqlServer, running_server


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
def own_server() -> Iterator[PostgresqlServer]:
    """A server that a test may stop and set."""
    with running_server() as running:
        yield running
