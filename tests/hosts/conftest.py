from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hosts.script import Script
from tests.process.app_server import AppServer
from tests.process.sidecar import Sidecar

StartServer = Callable[[Callable[[], AppServer]], AppServer]


@pytest.fixture(scope="session")
def started_sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One sidecar for all hosts: it is they that are tested."""
    running = Sidecar(tmp_path_factory.mktemp("sidecar")).start()
    yield running
    running.close()


@pytest.fixture
def sidecar(started_sidecar: Sidecar) -> Sidecar:
    """A running sidecar that nobody has shipped to."""
    return started_sidecar.begin_anew()


@pytest.fixture
def script(sidecar: Sidecar, tmp_path: Path) -> Iterator[Script]:
    """An app of one file, that ships to the sidecar."""
    app = Script(sidecar, tmp_path)
    yield app
    app.close()
