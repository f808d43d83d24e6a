"""A primary that is killed under load: two sidecars, a standby that takes over, and books that are exact."""

import threading
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.cluster import running_cluster
from tests.process.sidecar import INGEST_KEY, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

pytestmark = pytest.mark.system

SENDERS = scaled(6, full=40)
BATCHES_PER_PHASE = scaled(20, full=200)


class Sender(threading.Thread):
    """Ships batches one after the other, to the sidecars in turns, and repeats each until it is acknowledged."""

    def __init__(self, name: str, sidecars: Sequence[Sidecar], ended: threading.Event) -> None:
        super().__init__(name=name, daemon=True)
        self.acknowledged = 0
        self.longest_stall = 0.0
        self.refusals: set[int] = set()
        self._sidecars = sidecars
        self._ended = ended

    def run(self) -> None:
        """Ship until the test ends."""
        sidecars = cycle(self._sidecars)
        while not self._ended.is_set():
            body = {
                "client": {"id": self.name, "seq": self.acknowledged + 1},
                "durations": {"f": [0.001], self.name: [2]},
            }
            began = time.monotonic()
            while not self.is_acknowledged(next(sidecars), body):
                self._ended.wait(0.05)
            self.longest_stall = max(self.longest_stall, time.monotonic() - began)
            self.acknowledged += 1

    def is_acknowledged(self, sidecar: Sidecar, body: dict[str, Any]) -> bool:
        """Send a body once; anything but 200 is to be repeated as it is."""
        try:
            status, _ = sidecar.request("POST", "/api/v1/profiling/ingest", body, key=INGEST_KEY)
        except OSError:
            return False
        if status != 200:
            self.refusals.add(status)
        return status == 200


@pytest.mark.timeout(180)
def test_a_primary_that_is_killed(tmp_path: Path, proof: Proof) -> None:
    """When the primary is killed under load and a standby promoted, no acknowledged call is lost or counted twice."""
    with running_cluster() as cluster:
        sidecars = [Sidecar(tmp_path / name, CHRONOPROF_STORE=cluster.url).start() for name in ("one", "two")]
        ended = threading.Event()
        senders = [Sender(f"s{number}", sidecars, ended) for number in range(SENDERS)]
        try:
            for sender in senders:
                sender.start()
            ship_more(senders)
            promoted_seconds = cluster.fail_over()
            ship_more(senders)
            ended.set()
            for sender in senders:
                sender.join(60)
            tables = [sidecar.data() for sidecar in sidecars]
            ready = [sidecar.request("GET", "/health/ready")[0] for sidecar in sidecars]
        finally:
            ended.set()
            for sidecar in sidecars:
                sidecar.close()
    acknowledged = sum(sender.acknowledged for sender in senders)
    counted = tables[0]["f"]["calls"]
    stall = max(sender.longest_stall for sender in senders)
    proof.reached("acknowledged", acknowledged)
    proof.reached("lost", max(0, acknowledged - counted), goal=0)
    proof.reached("doubled", max(0, counted - acknowledged), goal=0)
    proof.reached("promoted after", f"{promoted_seconds:.1f} s")
    proof.reached("longest stall", f"{stall:.1f} s")
    assert set() == set().union(*(sender.refusals for sender in senders)) - {503}
    assert counted == acknowledged
    assert {sender.name: sender.acknowledged for sender in senders} == {
        name: row["calls"] for name, row in tables[0].items() if name != "f"
    }
    assert tables[0] == tables[1]
    assert ready == [200, 200]


def ship_more(senders: Sequence[Sender]) -> None:
    """Return once every sender has shipped some more batches."""
    goals = [sender.acknowledged + BATCHES_PER_PHASE for sender in senders]
    wait_until(
        lambda: all(sender.acknowledged >= goal for sender, goal in zip(senders, goals, strict=True)), "batches", 90
    )
