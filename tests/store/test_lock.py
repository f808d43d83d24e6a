"""One sidecar per data directory."""

import subprocess
import sys
from pathlib import Path

import pytest

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.embedded.lock import DirectoryLock

HOLD = """
import sys, pathlib
from chronoprof_sidecar.store.embedded.lock import DirectoryLock
lock = DirectoryLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused(tmp_path: Path) -> None:
    """While one has the directory nobody else gets it; afterwards the next one does."""
    lock = DirectoryLock(tmp_path)
    with pytest.raises(StoreError, match="another sidecar uses"):
        DirectoryLock(tmp_path)
    lock.close()
    DirectoryLock(tmp_path).close()


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    """A process that was killed leaves no lock behind that somebody would have to remove."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(StoreError, match="another sidecar uses"):
            DirectoryLock(tmp_path)
        holder.kill()
        holder.wait()
    DirectoryLock(tmp_path).close()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """Whoever starts the sidecar learns which setting to change."""
    with pytest.raises(StoreError, match="CHRONOPROF_DATA_DIR"):
        DirectoryLock(tmp_path / "missing")
