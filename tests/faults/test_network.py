"""A network that loses packets, delays them and falls apart, between a real shim and a real sidecar."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.wire import Weather, joined_namespaces
from tests.process.sidecar import ADMIN_KEY, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

BAD_WEATHER = Weather(loss=0.05, delay_seconds=0.2)
PARTITION = Weather(loss=1.0)
PARTITION_SECONDS = scaled(5, full=120)
CALLS_IN_BAD_WEATHER = scaled(50, full=4000)
ROOT = Path(__file__).parents[2]


class App:
    """A process that records calls, in a namespace of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def look(self) -> dict[str, Any]:
        """Return its books as of now."""
        return self._ask("look")

    def end(self) -> dict[str, Any]:
        """Let it record no more and deliver all, and return its books."""
        return self._ask("end")

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(line, file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@contextmanager
def recording_app(sidecar: Sidecar, prefix: tuple[str, ...]) -> Iterator[App]:
    """Run the app inside the block."""
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.faults.recording_app"],
        cwd=ROOT,
        env=sidecar.app_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield App(process)
        finally:
            process.kill()


def counted(sidecar: Sidecar) -> int:
    """Return the calls that the sidecar shows to an operator beside it."""
    environ = {"CHRONOPROF_URL": sidecar.url, "CHRONOPROF_API_KEY": ADMIN_KEY}
    command = [*sidecar.prefix, sys.executable, "-m", "chronoprof_sidecar", "data", "--json"]
    shown = subprocess.run(
        command, env={**sidecar.app_environ(), **environ}, capture_output=True, check=True, timeout=60
    ).stdout
    return sum(row["calls"] for row in json.loads(shown)["data"].values())


@pytest.mark.system
@pytest.mark.timeout(scaled(180, full=600))
def test_a_network_that_falls_apart(tmp_path: Path, proof: Proof) -> None:
    """With 5 % of packets lost, 200 ms of delay each way and a partition, no call is lost and the books are exact."""
    with joined_namespaces(seed=5) as (app_end, sidecar_end, wire):
        sidecar = Sidecar(tmp_path / "sidecar", prefix=sidecar_end.prefix, host=sidecar_end.address).start()
        try:
            with recording_app(sidecar, app_end.prefix) as app:
                wire.weather = BAD_WEATHER
                wait_until(lambda: app.look()["acknowledged"] > CALLS_IN_BAD_WEATHER, "calls in bad weather", 120)
                wire.weather = PARTITION
                heal_at = time.monotonic() + PARTITION_SECONDS
                wait_until(lambda: time.monotonic() > heal_at, "the partition", PARTITION_SECONDS + 30)
                behind = app.look()
                wire.weather = BAD_WEATHER
                healed_at = time.monotonic()
                wait_until(lambda: app.look()["acknowledged"] > behind["recorded"], "calls after the partition", 120)
                resumed_seconds = time.monotonic() - healed_at
                books = app.end()
            calls = counted(sidecar)
            assert sidecar.stop() == 0
        finally:
            sidecar.close()
    assert books["delivered"]
    proof.reached("partition", f"{PARTITION_SECONDS} s, {behind['buffered']} calls kept meanwhile")
    proof.reached("caught up", f"{resumed_seconds:.1f} s after it")
    proof.reached("packets", f"{wire.carried} carried, {wire.lost} lost")
    proof.reached("lost", books["recorded"] - min(calls, books["acknowledged"]), goal=0)
    proof.reached("doubled", max(0, calls - books["recorded"]), goal=0)
    proof.reached("books wrong", f"{len(books['violations'])} times of {books['looks']}", goal=0)
    assert [] == books["violations"]
    assert books["looks"] == books["recorded"] == books["acknowledged"] == calls
