"""A disk that runs full under load, and has room again: nothing is lost meanwhile, and nothing is left half done."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chronoprof_sidecar.protocol import ROTATE_PATH, SAVE_PATH
from tests.faults.disks import Ballast, free_mib, small_disk
from tests.faults.operations import OLD, Operation, Rotate, Save, content_of
from tests.faults.senders import Senders, lost_and_doubled
from tests.faults.stored import read_history, temporary_files
from tests.process.sidecar import Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

ROUNDS = scaled(2, full=10)
SENDERS = 4
RESUMED_GOAL_SECONDS = 5.0
DISK_MIB = 96
LARGEST_FILE_BYTES = 256
MARGIN_MIB = 256
"""What other processes may do to the same disk meanwhile."""


def is_ready(sidecar: Sidecar) -> bool:
    """Say whether the sidecar would take batches."""
    return sidecar.request("GET", "/health/ready", key=None)[0] == 200


class Load:
    """Senders that go on all the while, and how long it takes until they are served again."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._senders = Senders(lambda: sidecar.port, SENDERS)
        self._slowest_seconds = 0.0

    def run_full(self) -> None:
        """Wait until batches are refused and the sidecar says that it is not ready."""
        self._senders.wait_for_refusals(SENDERS)
        wait_until(lambda: not is_ready(self._sidecar), "to say that the disk is full")
        assert self._sidecar.request("GET", "/health/live", key=None)[0] == 200

    def resume(self) -> None:
        """Wait until batches are taken again, from this moment on."""
        began = time.monotonic()
        self._senders.wait_for(SENDERS)
        wait_until(lambda: is_ready(self._sidecar), "to say that there is room")
        self._slowest_seconds = max(self._slowest_seconds, time.monotonic() - began)

    def go_on(self) -> None:
        """Wait for some more batches."""
        self._senders.wait_for(100)

    def end(self, data: Path, proof: Proof) -> None:
        """Show what came of it, and hold what is acknowledged against what stands in the data directory."""
        sidecar, senders = self._sidecar, self._senders
        senders.stop()
        lost, doubled = lost_and_doubled(senders, sidecar)
        obedient_seconds = self._slowest_seconds + senders.longest_wait_asked
        proof.reached("refused meanwhile", f"{senders.refusals} times, Retry-After {senders.longest_wait_asked} s")
        proof.reached(
            "taken again", f"{self._slowest_seconds:.1f} s after, {obedient_seconds:.1f} s by who waits as asked",
            goal=f"{RESUMED_GOAL_SECONDS:g} s",
        )  # fmt: skip
        proof.reached("acknowledged", f"{senders.calls().total()} calls")
        proof.reached("lost", lost, goal=0)
        proof.reached("doubled", doubled, goal=0)
        assert (0, 0) == (lost, doubled)
        assert sidecar.stop() == 0
        assert (senders.calls(), senders.total_ns()) == read_history(data)


@contextmanager
def running(sidecar: Sidecar) -> Iterator[Sidecar]:
    """Run a sidecar inside the block."""
    try:
        yield sidecar.start()
    finally:
        sidecar.close()


@pytest.mark.timeout(scaled(120, full=600))
def test_a_disk_that_is_almost_full(tmp_path: Path, proof: Proof) -> None:
    """Below the free space that it is to leave, the sidecar answers 503 and is not ready, and loses nothing by it."""
    ballast = Ballast(tmp_path / "ballast")
    min_free = f"{free_mib(tmp_path) - MARGIN_MIB} MiB"
    with running(Sidecar(tmp_path / "sidecar", CHRONOPROF_MIN_FREE_BYTES=min_free)) as sidecar:
        load = Load(sidecar)
        for _ in range(ROUNDS):
            load.go_on()
            ballast.take(2 * MARGIN_MIB)
            load.run_full()
            ballast.release()
            load.resume()
        load.end(sidecar.directory / "data", proof)
    said = sidecar.log().count("the disk is almost full (CHRONOPROF_MIN_FREE_BYTES): batches are refused")
    assert ROUNDS == said == sidecar.log().count("the disk has room again")


@pytest.mark.system
@pytest.mark.timeout(scaled(120, full=600))
@pytest.mark.parametrize("min_free", ["64 MiB", "0"])
def test_a_disk_that_is_full(tmp_path: Path, min_free: str, proof: Proof) -> None:
    """With not a byte free, batches, saves and rotates are refused, whole, and a restart then costs nothing either."""
    with small_disk(tmp_path / "disk", DISK_MIB) as disk:
        ballast, data, saves = Ballast(disk / "ballast"), disk / "data", disk / "data" / "saves"
        environ = {"CHRONOPROF_DATA_DIR": str(data), "CHRONOPROF_MIN_FREE_BYTES": min_free}
        with running(Sidecar(tmp_path / "sidecar", **environ)) as sidecar:
            load = Load(sidecar)
            for number in range(ROUNDS):
                load.go_on()
                assert sidecar.request("POST", f"{SAVE_PATH}?file_path=kept.json")[0] == 200
                kept = content_of(saves / "kept.json")
                ballast.fill()
                load.run_full()
                for path in (f"{SAVE_PATH}?file_path=kept.json", f"{ROTATE_PATH}?file_path=new.json"):
                    assert sidecar.request("POST", path)[0] in (503, 507)
                assert ["kept.json"] == [path.name for path in saves.iterdir()]
                assert kept == content_of(saves / "kept.json")
                if number % 2:
                    assert sidecar.stop() == 0
                else:
                    sidecar.kill()
                sidecar.start()
                ballast.release()
                load.resume()
            load.end(data, proof)
        assert [] == temporary_files(saves)


@pytest.mark.parametrize("make", [Save, Rotate])
def test_a_save_that_finds_no_room(quiet_sidecar: Sidecar, make: type[Operation], proof: Proof) -> None:
    """A save or rotate that cannot be written to its end is refused; older file and window stay as they were."""
    process, operation = quiet_sidecar.process, make(quiet_sidecar)
    operation.prepare()
    assert operation.perform()
    operation.prepare()
    unlimited = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (LARGEST_FILE_BYTES, unlimited[1]))
    assert not operation.perform()
    state = operation.state()
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
    proof.reached("left", f"the {state} state")
    assert OLD == state
    operation.repeat()
    assert process.poll() is None
