"""The server killed in the middle of load, again and again."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.faults.senders import Senders, lost_and_doubled
from tests.faults.stored import read_history
from tests.process.sidecar import Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

KILLS = scaled(8, full=200)
SENDERS = 4
READY_GOAL_SECONDS = 2.0


@pytest.fixture
def frequent_checkpoints(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that is nearly always writing a checkpoint when it dies."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_CHECKPOINT_INTERVAL="0.05").start()
    yield running
    running.close()


@pytest.mark.timeout(scaled(120, full=900))
def test_kill_9_under_load(frequent_checkpoints: Sidecar, proof: Proof) -> None:
    """Killed by SIGKILL under load, the sidecar has every acknowledged call once, to the nanosecond, and no other."""
    sidecar = frequent_checkpoints
    senders = Senders(lambda: sidecar.port, SENDERS)
    moments = Random(KILLS)
    slowest = 0.0
    for _ in range(KILLS):
        senders.wait_for(moments.randint(1, 150))
        sidecar.kill()
        killed_at = time.monotonic()
        sidecar.start()
        wait_until(lambda: sidecar.request("GET", "/health/ready", key=None)[0] == 200, "ready again")
        slowest = max(slowest, time.monotonic() - killed_at)
    senders.stop()
    lost, doubled = lost_and_doubled(senders, sidecar)
    proof.reached("kills", KILLS)
    proof.reached("acknowledged", f"{senders.calls().total()} calls")
    proof.reached("lost", lost, goal=0)
    proof.reached("doubled", doubled, goal=0)
    proof.reached("slowest ready again", f"{slowest:.1f} s", goal=f"{READY_GOAL_SECONDS:g} s")
    assert (0, 0) == (lost, doubled)
    assert sidecar.stop() == 0
    assert (senders.calls(), senders.total_ns()) == read_history(sidecar.directory / "data")
