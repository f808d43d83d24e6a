"""A fleet under load: replicas behind a balancer, senders before it, and a database that goes through something."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from tests.faults.senders import Senders
from tests.fleet.books import difference, expect, read_saved
from tests.fleet.cluster import Cluster
from tests.fleet.relays import Balancer
from tests.process.sidecar import Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled
from tests.store.server import USER

REPLICAS: Final = 3
SENDERS: Final = scaled(8, full=40)
ROUNDS: Final = scaled(1, full=20)
BATCHES: Final = SENDERS * scaled(2, full=5)
"""Acknowledged between two events, on the average this many by each sender."""
ACKNOWLEDGED_SECONDS: Final = 40.0


def url_of(database: str, ports: list[int]) -> str:
    """Return the URL of a database, whichever of these ports its primary has."""
    return f"postgresql://{USER}@{','.join(f'127.0.0.1:{port}' for port in ports)}/{database}"


class Fleet:
    """Replicas in service, and their senders."""

    def __init__(self, directory: Path, cluster: Cluster, database: str, balancer: Balancer) -> None:
        self.cluster = cluster
        self.database = database
        self.replicas: list[Sidecar] = []
        self._directory = directory
        self._balancer = balancer
        self._started: list[Sidecar] = []
        self._numbers = count()

    @property
    def url(self) -> str:
        """The database's URL, with all servers in it."""
        return url_of(self.database, [server.port for server in self.cluster.servers])

    def start(self, url: str | None = None) -> Sidecar:
        """Start a sidecar that is not in service, on the fleet's database or what is there under another URL."""
        sidecar = Sidecar(self._directory / f"replica-{next(self._numbers)}", CHRONOPROF_STORE=url or self.url)
        self._started.append(sidecar)
        return sidecar.start()

    def add(self, sidecar: Sidecar) -> None:
        """Put a sidecar into service."""
        self._serve([*self.replicas, sidecar])

    def remove(self, sidecar: Sidecar) -> None:
        """Take a sidecar out of service; it may well be dead already."""
        self._serve([each for each in self.replicas if each is not sidecar])

    def load(self) -> Senders:
        """Begin to send."""
        port = self._balancer.ports[0]
        self.senders = Senders(lambda: port, SENDERS, pause_seconds=0.1)
        return self.senders

    def ship(self, batches: int = BATCHES) -> None:
        """Return once so many more batches are acknowledged, and one more of every sender."""
        before = self.senders.batches_of
        self.senders.wait_for(batches, ACKNOWLEDGED_SECONDS)
        wait_until(
            lambda: all(number > before[sender] for sender, number in self.senders.batches_of.items()),
            "a batch of every sender",
            ACKNOWLEDGED_SECONDS,
        )

    def close(self) -> None:
        """Make sure that nothing is left running."""
        for sidecar in self._started:
            sidecar.close()

    def _serve(self, replicas: list[Sidecar]) -> None:
        self.replicas = replicas
        self._balancer.upstream = [replica.port for replica in replicas]


@contextmanager
def running_fleet(directory: Path, cluster: Cluster, database: str) -> Iterator[Fleet]:
    """Run replicas on a database of their own, and senders that ship to them in turns."""
    cluster.wait_for_standbys()
    with Balancer().running() as balancer:
        fleet = Fleet(directory, cluster, cluster.create_database(database), balancer)
        try:
            with ThreadPoolExecutor(REPLICAS) as pool:
                for sidecar in pool.map(lambda _: fleet.start(), range(REPLICAS)):
                    fleet.add(sidecar)
            fleet.load()
            fleet.ship()
            yield fleet
        finally:
            fleet.close()


def is_ready(sidecar: Sidecar) -> bool:
    """Say whether a sidecar would take batches."""
    return sidecar.request("GET", "/health/ready", key=None)[0] == 200


def prove(fleet: Fleet, proof: Proof, rounds: str) -> None:
    """Stop the load, and hold every replica's books against the senders'."""
    senders = fleet.senders
    senders.stop()
    for replica in fleet.replicas:
        wait_until(lambda each=replica: is_ready(each), "ready")
    expected = expect(senders.batches_of)
    saved = [read_saved(replica, f"books-{place}.json") for place, replica in enumerate(fleet.replicas)]
    differences = [difference(expected, rows) for rows in saved]
    windows = [replica.data() for replica in fleet.replicas]
    histories = [replica.data("?since=24h") for replica in fleet.replicas]
    proof.reached("rounds", rounds)
    proof.reached("acknowledged", f"{senders.batches} batches, {senders.calls().total()} calls")
    proof.reached("lost", max(lost for lost, _ in differences), goal=0)
    proof.reached("doubled", max(doubled for _, doubled in differences), goal=0)
    proof.reached("longest stall", f"{senders.longest_stall_seconds:.1f} s")
    assert [(0, 0)] * len(saved) == differences
    assert [expected] * len(saved) == saved
    assert [windows[0]] * len(windows) == windows
    assert [histories[0]] * len(histories) == histories
    assert {name: row.calls for name, row in expected.items()} == {n: row["calls"] for n, row in histories[0].items()}
    for replica in fleet.replicas:
        assert "Traceback" not in replica.log()
        assert "never retrieved" not in replica.log()
