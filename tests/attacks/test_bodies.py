"""What is in a body can be counted or refused, and nothing else: no crash, no leak, no answer that takes long."""

import http.client
import json
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.attacks.corpus import GOOD, Attack, fixed_attacks, mutated_attacks
from tests.process.sidecar import DEADLINE_SECONDS, INGEST_KEY, Sidecar
from tests.proof import Proof
from tests.scale import scaled

INGEST = "/api/v1/profiling/ingest"
MUTATIONS = scaled(600, full=10_000)
WARMING = scaled(1, full=4)
"""Rounds of the fixed attacks that are not measured: code, threads and allocator are warm afterwards."""
REPEATS = scaled(1, full=3)


class Attacker:
    """Sends attacks over one connection for as long as the sidecar keeps it, and takes the time of each."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._connection = self._connect()
        self.slowest = (0.0, "")
        self.accepted = 0
        self.refused = 0

    def send(self, attack: Attack) -> int:
        """Send one; return the status of the answer, which is JSON in the form of every answer."""
        headers = {"X-API-Key": INGEST_KEY, "Content-Type": attack.content_type, "Content-Encoding": attack.encoding}
        headers = {name: value for name, value in headers.items() if value}
        started = time.perf_counter()
        self._connection.request("POST", INGEST, attack.body, headers)
        answer = self._connection.getresponse()
        content = json.loads(answer.read())
        seconds = time.perf_counter() - started
        self.slowest = max(self.slowest, (seconds, attack.name))
        if answer.status == 200:
            self.accepted += 0 if content["duplicate"] else content["accepted"]
        else:
            assert isinstance(content["error"]["message"], str)
            self.refused += 1
        if answer.will_close:
            self.close()
            self._connection = self._connect()
        return answer.status

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._sidecar.port, timeout=DEADLINE_SECONDS)


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A running sidecar."""
    running = Sidecar(tmp_path / "sidecar").start()
    yield running
    running.close()


def memory_bytes(sidecar: Sidecar) -> int:
    """Return the resident memory of a running sidecar."""
    status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def counted(sidecar: Sidecar) -> int:
    """Return the calls of all rows."""
    return sum(sidecar.calls().values())


@pytest.mark.timeout(scaled(120, full=600))
def test_hostile_bodies_count_or_are_refused(sidecar: Sidecar, proof: Proof) -> None:
    """Ten thousand mutated bodies and every known attack: no 5xx, and the table holds exactly what was acknowledged."""
    fixed = fixed_attacks()  # before connecting: making bombs takes a slow machine longer than a connection may be idle
    attacker = Attacker(sidecar)
    statuses = {attack.name: attacker.send(attack) for attack in fixed * WARMING}
    before = memory_bytes(sidecar)
    attacker.slowest = (0.0, "")
    for attack in [*fixed * REPEATS, *mutated_attacks(Random(20261123), MUTATIONS)]:
        status = attacker.send(attack)
        assert status < 500, attack
        assert statuses.setdefault(attack.name, status) == status
    grown = memory_bytes(sidecar) - before
    seconds, name = attacker.slowest
    proof.reached("bodies", len(fixed) * (WARMING + REPEATS) + MUTATIONS)
    proof.reached("refused", attacker.refused)
    proof.reached("5xx", 0, goal=0)
    proof.reached("slowest answer", f"{seconds * 1000:.0f} ms, to {name}", goal="50 ms")
    proof.reached("memory", f"{grown / 2**20:+.1f} MiB", goal="+4 MiB")
    assert attacker.accepted == counted(sidecar)
    attacker.close()
    assert sidecar.stop() == 0
    assert "Traceback" not in sidecar.log()


def test_refused_bodies_change_nothing(sidecar: Sidecar, proof: Proof) -> None:
    """A body that is refused leaves no trace: rows, senders, losses and window are what they were."""

    def everything() -> object:
        report = sidecar.request("GET", "/api/v1/profiling/data")[1]
        return report["data"], {**report["meta"], "generated_at": ""}, [sender["id"] for sender in sidecar.senders()]

    fixed = fixed_attacks()
    attacker = Attacker(sidecar)
    attacker.send(Attack("good", GOOD))
    refused = [attack for attack in fixed if attacker.send(attack) != 200]
    before = everything()
    for attack in refused:
        assert attacker.send(attack) != 200, attack.name
    proof.reached("refused", len(refused))
    proof.reached("state change", int(before != everything()), goal=0)
    assert before == everything()
    attacker.close()
