"""`strace`: a process killed at one certain system call, or its calls written down, so that no test need guess."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """The so-many-th call of one kind; each thread counts its own."""

    syscall: str
    """A name, or a regular expression after a slash: `/^rename` is all of its kin, whichever the machine has."""
    number: int

    @property
    def kill(self) -> str:
        """The option that kills a process before it takes this step."""
        return f"--inject={self.syscall}:signal=KILL:when={self.number}"

    def fail(self, error: str) -> str:
        """Return the option that lets this step fail with an error, such as `EIO`, and do nothing."""
        return f"--inject={self.syscall}:error={error}:when={self.number}"


@contextmanager
def attached(pid: int, *options: str) -> Iterator[None]:
    """Trace a running process and all of its threads inside the block."""
    command = ["strace", "--follow-forks", f"--attach={pid}", *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as strace:
        try:
            assert strace.stderr is not None
            line = strace.stderr.readline()
            assert "attached" in line, line
            yield
        finally:
            # The kernel lets go of the process then. Asked to do that itself, strace waits for ever for a thread that
            # is dying at the same moment.
            strace.kill()


@contextmanager
def killed_at(pid: int, step: Step) -> Iterator[None]:
    """Kill a process before it takes this step inside the block; counting begins here."""
    with attached(pid, "--output=/dev/null", step.kill):
        yield


@contextmanager
def failing_at(pid: int, step: Step, error: str, log: Path) -> Iterator[None]:
    """Let this step fail inside the block; counting begins here. `was_injected` reads the log afterwards."""
    with attached(pid, f"--output={log}", f"--trace={step.syscall}", step.fail(error)):
        yield


def was_injected(log: Path) -> bool:
    """Say whether a process got as far as the step that was to fail."""
    return "(INJECTED)" in log.read_text()


_RUN = ("strace", "--daemonize", "--follow-forks")
_CALL = re.compile(r"(?P<thread>\d+) +(?P<call>\w+)\((?P<arguments>.*)")
_RESUMED = re.compile(r"(?P<thread>\d+) +<\.\.\. \w+ resumed>")


@contextmanager
def recorded(pid: int, log: Path, syscalls: str) -> Iterator[None]:
    """Write a running process's calls of some kinds to a log that `read_calls` reads, inside the block.

    Syncing takes a while longer than it would, so that whoever does not wait for it is found out.
    """
    with attached(pid, f"--output={log}", *_recording(syscalls), "--inject=fsync,fdatasync:delay_enter=50000"):
        yield


def recorder(log: Path, syscalls: str) -> tuple[str, ...]:
    """Return a command that runs another one, in its own place, and writes such a log."""
    return (*_RUN, f"--output={log}", *_recording(syscalls))


def killer(step: Step) -> tuple[str, ...]:
    """Return a command that runs another one, in its own place, and kills it before it takes this step."""
    return (*_RUN, "--output=/dev/null", step.kill)


def _recording(syscalls: str) -> tuple[str, ...]:
    return ("--decode-fds", f"--trace={syscalls}")


def read_calls(log: Path) -> list[tuple[str, str]]:
    """Return names and arguments of calls in the order in which they ended.

    Descriptors in arguments are followed by what they stand for, as in `3</etc/passwd>`.
    """
    calls: list[tuple[str, str]] = []
    begun: dict[str, tuple[str, str]] = {}
    for line in log.read_text().splitlines():
        if found := _CALL.match(line):
            begun[found["thread"]] = (found["call"], found["arguments"])
            if "<unfinished" not in line:
                calls.append(begun.pop(found["thread"]))
        elif found := _RESUMED.match(line):
            calls.append(begun.pop(found["thread"]))
    return calls
