from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hosts.script import Script
from tests.process.app_server import AppServer
from tests.process.sidecar import Sidecar

StartServer = Callable[[Callable[[], AppServer]], AppServer]


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A running sidecar."""
    running = Sidecar(tmp_path / "sidecar").start()
    yield running
    running.close()


@pytest.fixture
def script(sidecar: Sidecar, tmp_path: Path) -> Iterator[Script]:
    """An app of one file, that ships to the sidecar."""
    app = Script(sidecar, tmp_path)
    yield app
    app.close()
