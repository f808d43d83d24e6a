"""A primary and two standbys on loopback, each commit on one of them at least, and what promotes one."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from tests.store.server import PostgresqlServer

NAMES = ("db1", "db2", "db3")


class Cluster:
    """Three servers, the first of which is the primary at the beginning."""

    def __init__(self, servers: list[PostgresqlServer]) -> None:
        self.servers = servers

    @property
    def url(self) -> str:
        """The URL of all of them: a client finds the one that takes writes."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"postgresql://postgres@{hosts}/postgres"

    def fail_over(self) -> float:
        """Kill the primary, promote the standby that has received most, and return the seconds that it took."""
        began = time.monotonic()
        self.servers[0].kill_9()
        survivors = sorted(self.servers[1:], key=lambda server: int(ask(server, RECEIVED)), reverse=True)
        ask(survivors[0], "SELECT pg_promote()")
        followed = f"host=127.0.0.1 port={survivors[0].port} user=postgres"
        ask(survivors[1], f"ALTER SYSTEM SET primary_conninfo = '{followed}'")
        ask(survivors[1], "SELECT pg_reload_conf()")
        return time.monotonic() - began


RECEIVED = "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')::bigint"


def ask(server: PostgresqlServer, statement: str) -> str:
    """Return the first value of a statement's answer."""

    async def run() -> str:
        connection = await asyncpg.connect(server.url())
        try:
            return str(await connection.fetchval(statement))
        finally:
            await connection.close()

    return asyncio.run(run())


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run three servers; a commit waits for one standby, whichever of them is the primary."""
    quorum = {"synchronous_standby_names": f"ANY 1 ({', '.join(NAMES)})"}
    servers: list[PostgresqlServer] = []
    with ExitStack() as stack:
        for name in NAMES:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix=f"chronoprof-{name}-")))
            server = PostgresqlServer(directory, copy_of=servers[0] if servers else None)
            stack.callback(server.stop)
            servers.append(server)
            server.start({"cluster_name": name, **quorum})
        yield Cluster(servers)
