"""A primary and two standbys on loopback, each commit on one of them at least, and what an administrator does there."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import asyncpg

from tests.process.sidecar import wait_until
from tests.store.server import USER, PostgresqlServer

NAMES: Final = ("db1", "db2", "db3")
_SETTINGS: Final = {
    # On every server: whichever is the primary, a commit waits for one of the others.
    "synchronous_standby_names": f"ANY 1 ({', '.join(NAMES)})",
    "wal_retrieve_retry_interval": "100ms",  # and soon
    "max_connections": "200",
    "dynamic_shared_memory_type": "mmap",  # a killed server leaves nothing outside of its directory
}
_RECEIVED: Final = (
    "SELECT pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')::bigint"
)


class Cluster:
    """Three servers, one of which is the primary."""

    def __init__(self, servers: dict[str, PostgresqlServer]) -> None:
        self._names = {server: name for name, server in servers.items()}
        self.servers = list(servers.values())
        self.primary = self.servers[0]

    @property
    def standbys(self) -> list[PostgresqlServer]:
        """All servers but the primary."""
        return [server for server in self.servers if server is not self.primary]

    def create_database(self, name: str) -> str:
        """Make a database, and return its name."""
        ask(self.primary, f"CREATE DATABASE {name}")
        return name

    def promote(self) -> PostgresqlServer:
        """Make the standby that has received most the primary, and return the one that was it until now.

        First neither hears the old one any more: what it commits from then on has no quorum, and what it committed
        before is where the most was received.
        """
        standbys, former = self.standbys, self.primary
        for standby in standbys:
            self._follow(standby, "")
        for standby in standbys:
            wait_until(lambda each=standby: ask(each, "SELECT count(*) FROM pg_stat_wal_receiver") == 0, "unfollowed")
        last, most = sorted(standbys, key=lambda standby: int(ask(standby, _RECEIVED)))
        ask(most, "SELECT pg_promote()")
        self.primary = most
        self._follow(last, _address(most))
        return former

    def bring_back(self, server: PostgresqlServer) -> None:
        """Have a server that was killed follow the primary, and return once both standbys do."""
        ask(self.primary, "CHECKPOINT")  # before it pg_rewind does not see that the primary was promoted
        server.rewind_to(self.primary)
        self.start(server)
        self.wait_for_standbys()

    def start(self, server: PostgresqlServer) -> None:
        """Start a server with what all have in common, and its name."""
        server.start({"cluster_name": self._names[server], **_SETTINGS})

    def wait_for_standbys(self) -> None:
        """Return once both standbys follow the primary."""
        streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'"
        wait_until(lambda: ask(self.primary, streaming) == 2, "two standbys that follow")

    def _follow(self, standby: PostgresqlServer, address: str) -> None:
        ask(standby, f"ALTER SYSTEM SET primary_conninfo = '{address}'")
        ask(standby, "SELECT pg_reload_conf()")


def ask(server: PostgresqlServer, statement: str) -> Any:
    """Return the first value of a statement's answer."""

    async def run() -> Any:
        connection = await asyncpg.connect(server.url())
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """Run three servers; a commit waits for one standby, whichever of them is the primary."""
    servers: dict[str, PostgresqlServer] = {}
    with ExitStack() as stack:
        for name in NAMES:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix=f"chronoprof-{name}-")))
            servers[name] = PostgresqlServer(directory, copy_of=next(iter(servers.values()), None))
            stack.callback(servers[name].stop)
            Cluster(servers).start(servers[name])
            # In a file, which the standbys copy: a server that was away finds what it missed, and pg_rewind, too.
            ask(servers[name], "ALTER SYSTEM SET wal_keep_size = '512MB'")
        cluster = Cluster(servers)
        cluster.wait_for_standbys()
        yield cluster


def _address(server: PostgresqlServer) -> str:
    return f"host=127.0.0.1 port={server.port} user={USER}"
