"""The server killed before every system call by which a commit, a checkpoint, a save or a rotate changes a file."""

import signal
from collections import Counter
from itertools import count, takewhile
from typing import NamedTuple

import pytest

from tests.faults.operations import NEW, OLD, TORN, Checkpoint, Commit, Operation, Rotate, Save, whole_batches
from tests.faults.stored import read_history
from tests.faults.tracing import Step, killed_at, killer
from tests.process.sidecar import DEADLINE_SECONDS, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import FULL, scaled

SYSCALLS = ("openat", "write", "pwrite64", "fsync", "fdatasync", "/^rename", "ftruncate", "/^unlink")
STARTING_SYSCALLS = ("pwrite64", "fsync", "fdatasync", "/^rename", "ftruncate", "/^unlink")
DISK_WRITES = ("pwrite64", "fdatasync")
RENAME = Step("/^rename", 1)


class Case(NamedTuple):
    """An operation, and the step that stands for all of them in a short run."""

    operation: type[Operation]
    short: Step


CASES = {
    "commit": Case(Commit, Step("fdatasync", 1)),
    "checkpoint": Case(Checkpoint, Step("fdatasync", 2)),
    "save": Case(Save, RENAME),
    "rotate": Case(Rotate, RENAME),
}


class Trials:
    """One operation, killed at one step after the other."""

    def __init__(self, sidecar: Sidecar, operation: Operation) -> None:
        self._sidecar = sidecar
        self._operation = operation
        self.left: Counter[str] = Counter()
        self.told_too_early = 0

    def kill_at(self, step: Step) -> bool:
        """Make one trial; say whether the operation got as far as this step."""
        operation = self._operation
        operation.prepare()
        with killed_at(self._sidecar.process.pid, step):
            reported = operation.perform()
        killed = self._was_killed()
        if self._sidecar.process.poll() is not None:
            self._sidecar.start()
        state = operation.state()
        assert state in ((NEW,) if reported else (OLD, NEW)), f"{state} at {step}"
        operation.repeat()
        self.left[state] += killed
        self.told_too_early += killed and reported and step.syscall in DISK_WRITES
        return killed

    def _was_killed(self) -> bool:
        """Tell a sidecar that died from one that lives on, and from one that ended as it was asked to."""
        try:
            self._sidecar.request("GET", "/health/live", key=None)
        except OSError:
            return self._sidecar.process.wait(DEADLINE_SECONDS) == -signal.SIGKILL
        return False


class Starts:
    """A start after a rotate that was cut short, killed at one step after the other."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._rotate = Rotate(sidecar)
        self.killed = 0
        self.unfinished = 0

    def kill_at(self, step: Step) -> bool:
        """Make one trial; say whether the start got as far as this step."""
        self._rotate.prepare()
        with killed_at(self._sidecar.process.pid, RENAME):
            assert not self._rotate.perform()
        self._sidecar.process.wait(DEADLINE_SECONDS)
        self._sidecar.prefix = killer(step)
        killed = not self._comes_up()
        self._sidecar.prefix = ()
        if not killed:
            self._sidecar.kill()  # asked to end, it might take the step after all
        self._sidecar.start()
        self.unfinished += self._rotate.state() != NEW
        self._rotate.repeat()
        self.killed += killed
        return killed

    def _comes_up(self) -> bool:
        process = self._sidecar.start(wait=False).process
        wait_until(
            lambda: process.poll() is not None or self._rotate.ask("/health", method="GET"), "a start or its end"
        )
        return process.poll() is None


@pytest.mark.system
@pytest.mark.timeout(scaled(120, full=600))
@pytest.mark.parametrize("name", CASES)
def test_killed_at_every_step(quiet_sidecar: Sidecar, name: str, proof: Proof) -> None:
    """Killed at any step of a commit, checkpoint, save or rotate, the sidecar has the old state or the new one."""
    case = CASES[name]
    operation = case.operation(quiet_sidecar)
    trials = Trials(quiet_sidecar, operation)
    if FULL:
        for syscall in SYSCALLS:
            steps = (Step(syscall, number) for number in count(1))
            list(takewhile(trials.kill_at, steps))
    else:
        assert trials.kill_at(case.short)
    assert quiet_sidecar.stop() == 0
    history = whole_batches(read_history(quiet_sidecar.directory / "data").calls)
    proof.reached("killed", f"at {trials.left.total()} steps of a {name}")
    proof.reached("left", f"{trials.left[OLD]} old and {trials.left[NEW]} new states")
    proof.reached("torn", trials.left[TORN], goal=0)
    proof.reached("told before the disk had it", trials.told_too_early, goal=0)
    assert operation.sent == history
    assert 0 == trials.told_too_early


@pytest.mark.system
@pytest.mark.timeout(scaled(120, full=600))
def test_killed_at_every_step_of_a_start(quiet_sidecar: Sidecar, proof: Proof) -> None:
    """Killed in a rotate after its commit, and then at any step of the start, the sidecar still finishes the rotate."""
    starts = Starts(quiet_sidecar)
    if FULL:
        for syscall in STARTING_SYSCALLS:
            list(takewhile(starts.kill_at, (Step(syscall, number) for number in count(1))))
    else:
        assert starts.kill_at(RENAME)
    assert quiet_sidecar.stop() == 0
    proof.reached("killed", f"at {starts.killed} steps of a start")
    proof.reached("rotates not finished", starts.unfinished, goal=0)
    assert 0 == starts.unfinished
