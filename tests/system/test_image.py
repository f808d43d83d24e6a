"""The image itself, built by the Dockerfile's steps, at work: `make image-check`."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.asking import curl, data_of, key_in, wait_for
from tests.system.building import IMAGE, mounted, read_base, read_built
from tests.system.compiled import MODULES, SHOW_FILES
from tests.system.container import Container
from tests.system.image import read_image

pytestmark = pytest.mark.image


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """Return where the root directory of the built image lies."""
    with mounted(IMAGE) as path:
        yield path


@pytest.fixture
def sidecar(root: Path, directory: Path, port: int) -> Container:
    """Return the sidecar as Compose runs it: the built image, its user, a read-only root, one volume."""
    return Container("sidecar", directory, {"CHRONOPROF_PORT": str(port)}, (read_built(), root))


def test_the_image_says_what_the_dockerfile_says() -> None:
    """User, commands, health check, volume and stop signal of the built image are those that all tests here go by."""
    built, written = read_built(), read_image("sidecar")
    environ = {**written.environ, "PATH": written.environ["PATH"].partition(":")[0]}
    built.environ["PATH"] = built.environ["PATH"].partition(":")[0]
    written.environ = environ
    assert written == built


def test_the_image_holds_the_sidecar_alone(root: Path) -> None:
    """What only building needs stays behind: no sources, no tests, no pip and no compiler beside the sidecar."""
    assert not (root / "build").exists()
    environment = root / "opt" / "chronoprof"
    _, python, _ = read_base()
    packages = {path.name for path in (environment / "lib" / f"python{python}" / "site-packages").iterdir()}
    assert "chronoprof_sidecar" in packages
    assert packages.isdisjoint({"pip", "hatchling", "editables", "setuptools", "mypy", "mypyc", "tests", "flask"})
    assert shutil.which("cc", path=str(root / "usr" / "bin")) is None


def test_the_image_is_compiled(sidecar: Container) -> None:
    """Its Python takes the loops over buckets as machine code."""
    found = sidecar.execute("python", "-c", SHOW_FILES).stdout.split()
    assert [".so"] * len(MODULES) == [Path(file).suffix for file in found]


def test_the_volume_belongs_to_the_user(root: Path) -> None:
    """A new named volume takes over an owner who may write, and lets nobody else in."""
    status = (root / "data").stat()
    assert (10001, 10001, 0o700) == (status.st_uid, status.st_gid, status.st_mode & 0o777)


def test_the_image_serves_stops_and_keeps_its_data(sidecar: Container, directory: Path, port: int) -> None:
    """As its user, on a read-only root: it is healthy, counts, ends by SIGTERM with 0, and its successor knows all."""
    refused = sidecar.execute("python", "-c", "open('/opt/probe', 'w')")
    assert "Read-only file system" in refused.stderr
    sample = json.dumps({"samples": [{"function_name": "job", "duration": 0.25}]})
    url = f"http://127.0.0.1:{port}/api/v1/profiling/ingest"
    with sidecar.running() as running:
        wait_for(running.is_healthy, running)
        curl("--header", key_in(directory, "ingest"), "--header", "Content-Type: application/json", "-d", sample, url)
        assert "chronoprof_ready 1.0" in curl("--header", key_in(directory, "read"), f"http://127.0.0.1:{port}/metrics")
        code, output = running.stop()
        assert 0 == code, output
        assert not running.is_healthy()
    with sidecar.running() as successor:
        wait_for(successor.is_healthy, successor)
        assert 1 == data_of(directory, port)["job"]["calls"]
