"""The services of docker-compose.yml at work: confined as it says, with the image's own commands and health check."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.system.asking import curl, data_of, key_in, wait_for
from tests.system.container import Container, Running
from tests.system.image import read_image

pytestmark = pytest.mark.system

REQUESTS = 40


@pytest.fixture
def sidecar(directory: Path, port: int) -> Container:
    """Return the sidecar's container, on a free port because the network is this machine's."""
    return Container("sidecar", directory, {"CHRONOPROF_PORT": str(port)})


@pytest.fixture
def app_port() -> int:
    """Return another free port."""
    return free_port()


@pytest.fixture
def app(directory: Path, port: int, app_port: int) -> Container:
    """Return the app's container, which looks for the sidecar on this machine."""
    arguments = read_image("demo").environ["GUNICORN_CMD_ARGS"].replace(":8080", f":{app_port}")
    return Container("app", directory, {"CHRONOPROF_URL": f"http://127.0.0.1:{port}", "GUNICORN_CMD_ARGS": arguments})


@pytest.fixture
def running_sidecar(sidecar: Container) -> Iterator[Running]:
    """Run the sidecar until the test ends."""
    with sidecar.running() as running:
        wait_for(running.is_healthy, running)
        yield running


@pytest.mark.parametrize("path", ["/probe", "/etc/probe", "/opt/probe"])
def test_the_root_is_read_only(sidecar: Container, path: str) -> None:
    """The stand-in for Docker is as strict as the Compose file: nothing but the volume and /tmp can be written."""
    refused = sidecar.execute("python", "-c", f"open({path!r}, 'w')")
    assert "Read-only file system" in refused.stderr
    assert 0 == sidecar.execute("python", "-c", "open('/data/probe', 'w'); open('/tmp/probe', 'w')").returncode


def test_the_service_runs_without_rights(sidecar: Container) -> None:
    """The processes of the service have a numeric user of their own and no capability."""
    status = sidecar.execute("cat", "/proc/self/status").stdout
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "10001" == fields["Uid"].split("\t")[0]
    assert 0 == int(fields["CapEff"], 16) == int(fields["CapBnd"], 16)
    assert "1" == fields["NoNewPrivs"]


def test_the_health_check_fails_without_a_sidecar(sidecar: Container) -> None:
    """A container whose sidecar does not answer is not healthy."""
    assert 0 != sidecar.execute(*sidecar.image.healthcheck).returncode


def test_the_sidecar_keeps_its_data_in_the_volume(
    running_sidecar: Running, sidecar: Container, directory: Path, port: int
) -> None:
    """A stopped sidecar exits with 0 within its grace period, and its successor on the volume knows every call."""
    sample = json.dumps({"samples": [{"function_name": "job", "duration": 0.25}]})
    url = f"http://127.0.0.1:{port}/api/v1/profiling/ingest"
    curl("--header", key_in(directory, "ingest"), "--header", "Content-Type: application/json", "--data", sample, url)
    code, output = running_sidecar.stop()
    assert 0 == code, output
    with sidecar.running() as successor:
        wait_for(successor.is_healthy, successor)
        assert 1 == data_of(directory, port)["job"]["calls"]


def test_the_app_and_the_sidecar_count_the_same(
    running_sidecar: Running, app: Container, directory: Path, port: int, app_port: int
) -> None:
    """Stopped as Compose stops them, the app first, every request of the app is in the sidecar."""
    with app.running() as running_app:
        url = f"http://127.0.0.1:{app_port}/api/v1/recall?query=clock"
        wait_for(lambda: answers(app_port), running_app)
        for _ in range(REQUESTS):
            curl(url)
        code, output = running_app.stop()
        assert 0 == code, output
    assert REQUESTS == data_of(directory, port)["GET /api/v1/recall"]["calls"]


def answers(port: int) -> bool:
    """Say whether somebody listens at `port`."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
