"""The server killed in the middle of load, again and again: every acknowledged batch is counted once."""

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.sidecar import INGEST_KEY, Sidecar, wait_until

KILLS = 8
SENDERS = 4


class SteadySender(threading.Thread):
    """A sender by the rules: one batch in flight, the same bytes again until they are answered."""

    def __init__(self, sidecar: Sidecar, name: str) -> None:
        super().__init__(daemon=True)
        self._sidecar = sidecar
        self._sender = name
        self.stopping = threading.Event()
        self.acknowledged = 0
        self.total_ns = 0
        self.unexpected: list[object] = []

    def run(self) -> None:
        """Send until told to stop and answered."""
        for seq in self._numbers():
            durations_ns = [seq * 1000 + offset for offset in range(20)]
            body = json.dumps(
                {
                    "client": {"id": self._sender, "seq": seq},
                    "durations": {f"f{seq % 7}": [duration / 1e9 for duration in durations_ns]},
                }
            )
            self._send_until_answered(body)
            self.acknowledged += len(durations_ns)
            self.total_ns += sum(durations_ns)

    def _numbers(self) -> Iterator[int]:
        seq = 0
        while not self.stopping.is_set():
            seq += 1
            yield seq

    def _send_until_answered(self, body: str) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._sidecar.port, timeout=10)
            try:
                headers = {"Content-Type": "application/json", "X-API-Key": INGEST_KEY}
                connection.request("POST", "/api/v1/profiling/ingest", body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                threading.Event().wait(0.02)
                continue
            finally:
                connection.close()
            if answer.status == 200:
                return
            if answer.status != 503:
                self.unexpected.append((answer.status, content))
                return


@pytest.fixture
def frequent_checkpoints(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that is nearly always writing a checkpoint when it dies."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_CHECKPOINT_INTERVAL="0.05").start()
    yield running
    running.close()


def test_kill_9_under_load_loses_and_doubles_nothing(frequent_checkpoints: Sidecar) -> None:
    """Calls and nanoseconds of all acknowledged batches, and of no others, are there after every kill."""
    sidecar = frequent_checkpoints
    senders = [SteadySender(sidecar, f"sender-{number}") for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    for _ in range(KILLS):
        goal = sum(sender.acknowledged for sender in senders) + 2000
        wait_until(lambda goal=goal: sum(sender.acknowledged for sender in senders) > goal, "load between kills")
        sidecar.kill()
        sidecar.start()
    for sender in senders:
        sender.stopping.set()
    for sender in senders:
        sender.join(30)
        assert not sender.is_alive()
        assert sender.unexpected == []
    rows = sidecar.data().values()
    assert sum(row["calls"] for row in rows) == sum(sender.acknowledged for sender in senders)
    assert sum(round(row["total_time"] * 1e9) for row in rows) == sum(sender.total_ns for sender in senders)
    assert sidecar.stop() == 0
