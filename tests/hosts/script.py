"""An app of one file for tests: its text is in the test, its process is real."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.process.app_server import ROOT
from tests.process.sidecar import DEADLINE_SECONDS, Sidecar

# Python 3.12 and later warn of every fork of a process that has threads, which is what some tests are about.
WARNINGS = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]


class Script:
    """A Python file that ships to a sidecar; its warnings are errors."""

    def __init__(self, sidecar: Sidecar, directory: Path) -> None:
        self._sidecar = sidecar
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> "subprocess.Popen[str]":
        """The process, running or not."""
        assert self._process is not None
        return self._process

    def start(self, text: str, **environ: str) -> "Script":
        """Run the text in a process of its own."""
        file = self._directory / "script.py"
        file.write_text(textwrap.dedent(text))
        self._process = subprocess.Popen(
            [sys.executable, *WARNINGS, str(file)],
            env=self._sidecar.app_environ(PYTHONPATH=str(ROOT), **environ),
            cwd=self._directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def read_line(self) -> str:
        """Return the next line that it prints; an empty text where it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def end(self, *, code: int = 0, number: signal.Signals | None = None, seconds: float = DEADLINE_SECONDS) -> str:
        """Wait for its end, after a signal if told so, and return what else it printed.

        A traceback is a failure, even where the exit code is as expected.
        """
        if number is not None:
            self.process.send_signal(number)
        said, complaint = self.process.communicate(timeout=seconds)
        assert code == self.process.returncode, complaint
        assert "Traceback" not in complaint, complaint
        return said.rstrip("\n")

    def run(self, text: str, *, code: int = 0, seconds: float = DEADLINE_SECONDS, **environ: str) -> str:
        """Run the text to its end, and return what it printed."""
        return self.start(text, **environ).end(code=code, seconds=seconds)

    def close(self) -> None:
        """Make sure that it is not left running."""
        if self._process is not None:
            with self._process:
                self._process.kill()
