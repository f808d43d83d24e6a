"""The demo's processes: starting them, noticing when they are ready or gone, stopping them.

Must not know what runs in them.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from chronoprof_sidecar.cli.demo.stopping import StopRequest
from chronoprof_sidecar.errors import ChronoprofError, SettingsError

READY_SECONDS: Final = 30.0
"""A child that is not ready by then has failed; each is within 2 s on two busy cores."""
STOP_SECONDS: Final = 20.0
"""Longer than the sidecar's 8 s and a request of the app; who needs more is killed."""
LOG_LINES: Final = 15


class ChildFailedError(ChronoprofError):
    """A process of the demo did not start, or ended by itself; the message has the end of its log."""

    code = "child_failed"


class Child:
    """One running process."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self._name = name
        self._process = process
        self._log = log

    def wait_until(self, is_ready: Callable[[], bool], stop: StopRequest) -> None:
        """Return when `is_ready` says so.

        Raises:
            ChildFailedError: the process ended, or is not ready in time.
            KeyboardInterrupt: the demo was told to stop before it had begun.
        """
        deadline = monotonic() + READY_SECONDS
        while not is_ready():
            self.check()
            if stop.wait(0.05):
                raise KeyboardInterrupt
            if monotonic() > deadline:
                raise ChildFailedError(f"{self._name} was not ready within {READY_SECONDS:.0f} s\n{self._last_lines()}")

    def check(self) -> None:
        """Return if the process is still running.

        Raises:
            ChildFailedError: it is not.
        """
        code = self._process.poll()
        if code is not None:
            raise ChildFailedError(f"{self._name} ended with exit code {code}\n{self._last_lines()}")

    def stop(self) -> None:
        """End the process and wait for it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # Its group: gunicorn's workers, too.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


@contextmanager
def run_child(name: str, arguments: Sequence[str], environ: Mapping[str, str], directory: Path) -> Iterator[Child]:
    """Run `python -m` with these arguments inside the block, in `directory`, where its log is, too.

    It gets a session of its own: Ctrl-C in the terminal reaches the demo alone, which then stops its children in order.
    """
    log = directory / f"{name.replace(' ', '-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 -- our own modules
            [sys.executable, "-m", *arguments],
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    child = Child(name, process, log)
    try:
        yield child
    finally:
        child.stop()


def find_port(wanted: int, flag: str) -> int:
    """Return a port of the loopback interface that is free now: `wanted`, or any for 0.

    Raises:
        SettingsError: somebody has it; names the flag that chooses another.
    """
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still being forgotten is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise SettingsError(
                f"port {wanted} is not to be had ({error.strerror}): choose another with {flag}"
            ) from error
        port: int = probe.getsockname()[1]
        return port


def accepts_connections(port: int) -> bool:
    """Say whether somebody listens at `port` of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
