"""The server asked to end in the middle of load: what was taken is finished, and nothing is lost on either side."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from chronoprof_sidecar.protocol import INGEST_PATH
from tests.faults.senders import Senders, lost_and_doubled
from tests.faults.stored import read_history
from tests.process.sidecar import INGEST_KEY, Sidecar
from tests.proof import Proof
from tests.scale import FULL, scaled

ENDS = scaled(2, full=12)
SENDERS = 8
GOAL_SECONDS = 8.0


@contextmanager
def stuck_client(sidecar: Sidecar) -> Iterator[None]:
    """Hold a request open that never gets its whole body."""
    head = f"POST {INGEST_PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {INGEST_KEY}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((sidecar.host, sidecar.port)) as connection:
        connection.sendall(f'{head}Content-Length: 100\r\n\r\n{{"durations":'.encode())
        yield


@pytest.fixture
def frequent_checkpoints(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that is in the middle of a checkpoint as often as not."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_CHECKPOINT_INTERVAL="0.1").start()
    yield running
    running.close()


@pytest.mark.timeout(scaled(120, full=300))
def test_sigterm_under_load(frequent_checkpoints: Sidecar, proof: Proof) -> None:
    """Asked to end by SIGTERM under load, the sidecar exits 0 with every acknowledged call on disk once."""
    sidecar = frequent_checkpoints
    senders = Senders(lambda: sidecar.port, SENDERS)
    moments = Random(ENDS)
    statuses, slowest = [], 0.0
    for end in range(ENDS):
        senders.wait_for(moments.randint(20, 200))
        with ExitStack() as stack:
            if FULL and end % 3 == 0:
                stack.enter_context(stuck_client(sidecar))
            began = time.monotonic()
            statuses.append(sidecar.stop())
            slowest = max(slowest, time.monotonic() - began)
        sidecar.start()
    senders.stop()
    lost, doubled = lost_and_doubled(senders, sidecar)
    statuses.append(sidecar.stop())
    proof.reached("ends", ENDS)
    proof.reached("acknowledged", f"{senders.calls().total()} calls")
    proof.reached("lost", lost, goal=0)
    proof.reached("doubled", doubled, goal=0)
    proof.reached("exit", max(statuses), goal=0)
    proof.reached("slowest end", f"{slowest:.1f} s", goal=f"{GOAL_SECONDS:g} s")
    assert {0} == set(statuses)
    assert (0, 0) == (lost, doubled)
    assert (senders.calls(), senders.total_ns()) == read_history(sidecar.directory / "data")
