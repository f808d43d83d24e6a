import subprocess
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.image import ROOT


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory with secrets in it, made as the README says."""
    subprocess.run(["make", "--silent", "-C", tmp_path, "-f", ROOT / "Makefile", "secrets"], timeout=30, check=True)
    return tmp_path


@pytest.fixture
def port() -> int:
    """Return a free port."""
    return free_port()
