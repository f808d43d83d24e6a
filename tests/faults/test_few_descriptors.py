"""More clients than the system grants descriptors for: who is served stays served, and the others are told."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chronoprof_sidecar.protocol import SAVE_PATH
from tests.faults.senders import Senders, lost_and_doubled
from tests.faults.stored import read_history
from tests.process.sidecar import ADMIN_KEY, DEADLINE_SECONDS, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

DESCRIPTORS = 256
CROWD = 400
ROUNDS = scaled(1, full=5)
SENDERS = 4


@pytest.fixture
def poor_sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that may hold few files and sockets."""
    prefix = ("sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh")
    running = Sidecar(tmp_path / "sidecar", prefix=prefix, CHRONOPROF_IDLE_TIMEOUT="3600").start()
    yield running
    running.close()


class Operator:
    """Somebody who was connected before the others came."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=DEADLINE_SECONDS)

    def save(self) -> None:
        """Save the window, for which the sidecar opens a file."""
        self._connection.request("POST", f"{SAVE_PATH}?file_path=kept.json", headers={"X-API-Key": ADMIN_KEY})
        answer = self._connection.getresponse()
        assert (200, True) == (answer.status, b"saved" in answer.read())

    def leave(self) -> None:
        """Hang up."""
        self._connection.close()


class Crowd:
    """Clients that connect, ask nothing, and stay."""

    def __init__(self, port: int) -> None:
        with ExitStack() as stack:
            self._sockets = [
                stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS))
                for _ in range(CROWD)
            ]
            self._stack = stack.pop_all()

    def refused(self) -> int:
        """Return how many were told to come again."""
        told = 0
        for each in self._sockets:
            each.setblocking(False)
            try:
                told += b"503 Service Unavailable\r\nRetry-After: " in each.recv(4096, socket.MSG_PEEK)
            except BlockingIOError:
                continue
        return told

    def leave(self) -> None:
        """Hang up."""
        self._stack.close()


def open_descriptors(sidecar: Sidecar) -> int:
    """Return how many descriptors it holds."""
    return len(list(Path(f"/proc/{sidecar.process.pid}/fd").iterdir()))


class Rush:
    """A crowd beside senders and an operator, and what it did to them."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._operator = Operator(sidecar)
        self.senders = Senders(lambda: sidecar.port, SENDERS)
        self.most_open = 0
        self.slowest_seconds = 0.0

    def happen(self) -> None:
        """Let the crowd come, and more senders behind it, and go again."""
        self.senders.wait_for(50)
        self._operator.save()
        crowd = Crowd(self._sidecar.port)
        wait_until(lambda: crowd.refused() >= CROWD - DESCRIPTORS, "refusals")
        late = self.senders.join_in(SENDERS)
        wait_until(lambda: all(sender.refusals for sender in late), "senders that are refused")
        self.senders.wait_for(50)
        self._operator.save()
        self.most_open = max(self.most_open, open_descriptors(self._sidecar))
        assert not any(sender.batches for sender in late)
        crowd.leave()
        left_at = time.monotonic()
        wait_until(lambda: all(sender.batches for sender in late), "senders that are served again")
        self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - left_at)

    def end(self) -> None:
        """Let all of them go."""
        self._operator.leave()
        self.senders.stop()


@pytest.mark.timeout(scaled(120, full=300))
def test_more_clients_than_descriptors(poor_sidecar: Sidecar, proof: Proof) -> None:
    """With 256 descriptors and more clients than that, the sidecar lives, says so, and loses nothing that was sent."""
    sidecar = poor_sidecar
    rush = Rush(sidecar)
    for _ in range(ROUNDS):
        rush.happen()
    rush.end()
    senders = rush.senders
    lost, doubled = lost_and_doubled(senders, sidecar)
    proof.reached("clients", f"{CROWD} more than the senders, {ROUNDS} times")
    proof.reached("open at most", f"{rush.most_open} descriptors", goal=DESCRIPTORS)
    proof.reached("refused senders served again", f"{rush.slowest_seconds:.1f} s after")
    proof.reached("acknowledged", f"{senders.calls().total()} calls")
    proof.reached("lost", lost, goal=0)
    proof.reached("doubled", doubled, goal=0)
    assert (0, 0) == (lost, doubled)
    assert sidecar.stop() == 0
    assert (senders.calls(), senders.total_ns()) == read_history(sidecar.directory / "data")
    assert "connections instead of 1000: the limit on open files is 256" in sidecar.log()
    assert "connections refused since the last such line: 1; all " in sidecar.log()
