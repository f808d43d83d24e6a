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


@pytest.fixture
def quiet_sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that writes nothing by itself."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_CHECKPOINT_INTERVAL="3600").start()
    yield running
    running.close()
