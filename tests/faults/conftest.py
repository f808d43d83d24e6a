from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.sidecar import Sidecar


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A running sidecar."""
    running = Sidecar(tmp_path / "sidecar").start()
    yield running
    running.close()
