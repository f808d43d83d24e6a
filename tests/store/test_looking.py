"""What `chronoprof check` says of a database, which it leaves as it is."""

import asyncio

import pytest

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.postgresql.looking import describe_database
from tests.store.server import PostgresqlServer
from tests.store.test_postgresql import execute, replicas, require_standby

pytestmark = pytest.mark.system


async def test_schema_and_quorum_are_told(own_server: PostgresqlServer) -> None:
    """An empty database stays empty; then its schema and what its commits wait for are told, a newer schema refused."""
    url = own_server.url()
    said = await describe_database(url)
    assert said.startswith("PostgreSQL 1")
    assert said.endswith("takes writes, no schema yet (the first sidecar makes it), commits wait for no standby")
    assert await execute(url, "SELECT count(*) FROM pg_namespace WHERE nspname = 'chronoprof'") == 0
    async with replicas(url, 1):
        pass
    await require_standby(own_server, "ANY 1 (db2, db3)")
    said = await asyncio.wait_for(describe_database(url), 10)
    assert said.endswith("takes writes, schema version 1, commits wait for ANY 1 (db2, db3)")
    await require_standby(own_server, "")
    await execute(url, "UPDATE chronoprof.schema_version SET version = 99")
    with pytest.raises(StoreError, match="newer release"):
        await describe_database(url)
