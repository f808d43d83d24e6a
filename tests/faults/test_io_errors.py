"""A disk that fails: whatever the outcome of a write cannot be known of, a restart finds out, and counting goes on."""

import resource
import signal
from collections import Counter
from collections.abc import Callable
from itertools import count, takewhile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.operations import NEW, OLD, Checkpoint, Commit, Operation, Rotate, Save, whole_batches
from tests.faults.senders import Senders, lost_and_doubled
from tests.faults.stored import read_history
from tests.faults.tracing import Step, failing_at, was_injected
from tests.process.sidecar import DEADLINE_SECONDS, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import FULL, scaled

SENDERS = 4
ENDS = scaled(2, full=20)
SYSCALLS = ("openat", "write", "pwrite64", "fsync", "fdatasync", "/^rename", "ftruncate", "/^unlink")
FILLING_SYSCALLS = ("openat", "write", "pwrite64", "ftruncate")
SAYS_WHY = "chronoprof: the store cannot vouch for its state any more"


def wait_for_end(sidecar: Sidecar) -> int:
    """Return the exit status of a sidecar that ends by itself."""
    status = sidecar.process.wait(DEADLINE_SECONDS)
    assert SAYS_WHY in sidecar.log().splitlines()[-1]
    return status


def break_and_restart(sidecar: Sidecar, break_disk: Callable[[], None], proof: Proof) -> None:
    """Let the disk fail under load again and again, and show what came of it."""
    senders = Senders(lambda: sidecar.port, SENDERS)
    statuses = Counter[int]()
    for _ in range(ENDS):
        senders.wait_for(50)
        break_disk()
        statuses[wait_for_end(sidecar)] += 1
        sidecar.start()
    senders.wait_for(50)
    senders.stop()
    lost, doubled = lost_and_doubled(senders, sidecar)
    proof.reached("errors", ENDS)
    proof.reached("exit", ", ".join(str(status) for status in statuses), goal="not 0")
    proof.reached("acknowledged", f"{senders.calls().total()} calls")
    proof.reached("lost", lost, goal=0)
    proof.reached("doubled", doubled, goal=0)
    assert (0, 0) == (lost, doubled)
    assert 0 not in statuses
    assert sidecar.stop() == 0
    assert (senders.calls(), senders.total_ns()) == read_history(sidecar.directory / "data")


@pytest.mark.timeout(scaled(120, full=600))
def test_a_write_that_fails_under_load(sidecar: Sidecar, proof: Proof) -> None:
    """When writing the journal fails under load, the sidecar exits non-zero, and a restart has every call once."""

    def break_disk() -> None:
        resource.prlimit(sidecar.process.pid, resource.RLIMIT_FSIZE, (64 * 1024, resource.RLIM_INFINITY))

    break_and_restart(sidecar, break_disk, proof)


@pytest.mark.system
@pytest.mark.timeout(scaled(120, full=600))
def test_a_sync_that_fails_under_load(sidecar: Sidecar, tmp_path: Path, proof: Proof) -> None:
    """When syncing the journal fails under load, the sidecar exits non-zero, and a restart has every call once."""

    def break_disk() -> None:
        with failing_at(sidecar.process.pid, Step("fdatasync", 1), "EIO", tmp_path / "strace.log"):
            sidecar.process.wait(DEADLINE_SECONDS)

    break_and_restart(sidecar, break_disk, proof)


class Case(NamedTuple):
    """An operation on a disk that fails, and the step that stands for all of them in a short run."""

    operation: type[Operation]
    error: str
    short: Step


CASES = {
    "commit, EIO": Case(Commit, "EIO", Step("fdatasync", 1)),
    "commit, ENOSPC": Case(Commit, "ENOSPC", Step("pwrite64", 1)),
    "checkpoint, EIO": Case(Checkpoint, "EIO", Step("pwrite64", 1)),
    "checkpoint, ENOSPC": Case(Checkpoint, "ENOSPC", Step("pwrite64", 1)),
    "save, EIO": Case(Save, "EIO", Step("fsync", 1)),
    "save, ENOSPC": Case(Save, "ENOSPC", Step("write", 1)),
    "rotate, EIO": Case(Rotate, "EIO", Step("/^rename", 1)),
    "rotate, ENOSPC": Case(Rotate, "ENOSPC", Step("pwrite64", 1)),
}


class Trials:
    """One operation, failing at one step after the other."""

    def __init__(self, sidecar: Sidecar, case: Case, log: Path) -> None:
        self._sidecar = sidecar
        self._case = case
        self._log = log
        self.operation = case.operation(sidecar)
        self.failed = 0
        self.left: Counter[str] = Counter()
        self.went_on = 0
        self.ended = 0

    def fail_at(self, step: Step) -> bool:
        """Make one trial; say whether the operation got as far as this step."""
        operation, sidecar = self.operation, self._sidecar
        operation.prepare()
        with failing_at(sidecar.process.pid, step, self._case.error, self._log):
            reported = operation.perform()
            went_on = self._goes_on()
        injected = was_injected(self._log)
        if went_on:
            state = operation.state()
            sidecar.kill()  # what it answers must be what stands on disk
        sidecar.start()
        if went_on:
            assert state == operation.state(), f"the disk says otherwise after {step}"
        left = operation.state()
        assert left in ((NEW,) if reported else (OLD, NEW)), f"{left} at {step}"
        operation.repeat()
        self.left[left] += injected
        self.failed += injected
        self.went_on += injected and went_on
        self.ended += injected and not went_on
        return injected

    def _goes_on(self) -> bool:
        """Wait for a sidecar to be ready, or to have ended by itself; say whether it goes on."""
        process, ask = self._sidecar.process, self.operation.ask

        def is_ready() -> bool:
            answer = ask("/health/ready", method="GET")
            return answer is not None and answer[0] == 200

        wait_until(lambda: process.poll() is not None or is_ready(), "a sidecar that is ready or has ended")
        if process.poll() is None:
            return True
        # Asked to end for a checkpoint, it ends as asked; libuv aborts when it cannot wake its own loop by a write.
        if self._case.operation is not Checkpoint and process.returncode != -signal.SIGABRT:
            assert process.returncode > 0
            assert SAYS_WHY in self._sidecar.log().splitlines()[-1]
        return False


@pytest.mark.system
@pytest.mark.timeout(scaled(120, full=600))
@pytest.mark.parametrize("name", CASES)
def test_an_error_at_every_step(quiet_sidecar: Sidecar, tmp_path: Path, name: str, proof: Proof) -> None:
    """An I/O error or full disk at any step of a commit, checkpoint, save or rotate leaves the old or the new state."""
    case = CASES[name]
    trials = Trials(quiet_sidecar, case, tmp_path / "strace.log")
    if FULL:
        syscalls = SYSCALLS if case.error == "EIO" else FILLING_SYSCALLS
        # A checkpoint writes by pwrite64 alone; its first write is the signal's, which would be lost.
        for syscall in syscalls if case.operation is not Checkpoint else [each for each in syscalls if each != "write"]:
            list(takewhile(trials.fail_at, (Step(syscall, number) for number in count(1))))
    else:
        assert trials.fail_at(case.short)
    assert quiet_sidecar.stop() == 0
    history = whole_batches(read_history(quiet_sidecar.directory / "data").calls)
    proof.reached("failed", f"at {trials.failed} steps")
    proof.reached("left", f"{trials.left[OLD]} old and {trials.left[NEW]} new states")
    proof.reached("went on", f"{trials.went_on} times, ended and was started again {trials.ended} times")
    assert trials.operation.sent == history
