"""How the system tests wait for a container, and ask what is in it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

from tests.system.container import Running

READY_SECONDS = 30.0


def wait_for(condition: Callable[[], bool], running: Running) -> None:
    """Return when the condition holds; fail when the service ends or the deadline passes."""
    deadline, tick = monotonic() + READY_SECONDS, Event()
    while not condition():
        assert not running.has_ended(), running.stop()
        assert monotonic() < deadline
        tick.wait(0.1)


def curl(*arguments: str) -> str:
    """Return what curl printed; fail when the answer is an error."""
    command = [shutil.which("curl") or "curl", "--silent", "--show-error", "--fail", "--max-time", "20", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout


def key_in(directory: Path, role: str) -> str:
    """Return the header with the key of a role."""
    return f"X-API-Key: {(directory / 'secrets' / f'{role}_keys').read_text().strip()}"


def data_of(directory: Path, port: int) -> dict[str, Any]:
    """Return the rows of the sidecar at `port`."""
    url = f"http://127.0.0.1:{port}/api/v1/profiling/data"
    rows: dict[str, Any] = json.loads(curl("--header", key_in(directory, "read"), url))["data"]
    return rows
