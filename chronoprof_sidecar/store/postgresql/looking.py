"""Looking at a database without changing it: whether a sidecar could use it, and what its commits wait for."""

from chronoprof_sidecar.store.postgresql.migrations import read_version
from chronoprof_sidecar.store.postgresql.opening import connected


async def describe_database(dsn: str) -> str:
    """Return what there is to say of a database that a sidecar can use.

    Raises:
        StoreError: none can; the message says why and holds no password.
    """
    async with connected(dsn) as connection:
        server = connection.get_server_version()
        version = await read_version(connection)
        standbys: str = await connection.fetchval("SELECT current_setting('synchronous_standby_names')")
    schema = f"schema version {version}" if version else "no schema yet (the first sidecar makes it)"
    quorum = f"commits wait for {standbys}" if standbys else "commits wait for no standby"
    return f"PostgreSQL {server.major}.{server.minor} takes writes, {schema}, {quorum}"
