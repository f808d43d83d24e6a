"""`strace`: a process killed at one certain system call, so that a test need not guess the moment."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Step(NamedTuple):
    """The so-many-th call of one kind; each thread counts its own."""

    syscall: str
    """A name, or a regular expression after a slash: `/^rename` is all of its kin, whichever the machine has."""
    number: int


@contextmanager
def killed_at(pid: int, step: Step) -> Iterator[None]:
    """Kill a process before it takes this step inside the block; counting begins here."""
    inject = f"--inject={step.syscall}:signal=KILL:when={step.number}"
    command = ["strace", "--follow-forks", f"--attach={pid}", "--output=/dev/null", inject]
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
