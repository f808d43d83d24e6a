"""docs/instrument.md: every example, served as the page says, counts under the name that the page says."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from celery import Celery

from tests.docs.pages import files_of, read_page, write_files
from tests.process.app_server import AppServer
from tests.process.sidecar import DEADLINE_SECONDS, Sidecar, wait_until

PAGE = read_page("docs/instrument.md")
SERVED = re.findall(r"^```sh\n((?:\w+=\w+ )?(?:uvicorn|gunicorn|python) .*)\n```", PAGE, re.MULTILINE)
NAMES: dict[str, str] = dict(re.findall(r"^### (\w+)\n(?:.|\n)*?^Counted as `([^`]+)`", PAGE, re.MULTILINE))
MODULES = [name.removesuffix(".py") for name in files_of(PAGE)]


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Return one sidecar for all; every test ships under a service name of its own."""
    running = Sidecar(tmp_path_factory.mktemp("sidecar")).start()
    yield running
    running.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory with all files of the page."""
    write_files(PAGE, tmp_path)
    return tmp_path


def command_of(line: str, directory: Path, port: int) -> list[str]:
    """Return what a line of the page runs, on another port and with this environment's programs."""
    words = shlex.split(line.replace("8080", str(port)))
    variables = [f"PYTHONPATH={directory}", f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"]
    while "=" in words[0]:
        variables.append(words.pop(0))
    if words[0] == "gunicorn":
        words.append("--no-control-socket")
    if words[0] == "python":
        script = directory / words[1]
        script.write_text(script.read_text().replace("8080", str(port)))
        words[1] = str(script)
    return ["env", *variables, *words]


def name_of(line: str) -> str:
    """Return the name under which the endpoint of the app in a command is counted."""
    section = next(title for title in NAMES if title.lower() in line.lower())
    return NAMES[section]


def rows_of(sidecar: Sidecar, service: str) -> dict[str, int]:
    """Return the calls of a service by function name."""
    return {name: row["calls"] for name, row in sidecar.data(f"?service={service}").items()}


@pytest.mark.parametrize("line", SERVED, ids=[re.sub(r"\W+", "-", line) for line in SERVED])
def test_an_app_is_counted(sidecar: Sidecar, directory: Path, line: str) -> None:
    """Started by the command on the page, an app's requests are in the table, the last one when it has ended."""
    service = re.sub(r"\W+", "-", line)

    def command(port: int) -> list[str]:
        return command_of(line, directory, port)

    with closing(AppServer(sidecar, directory, command, CHRONOPROF_SERVICE=service)) as app:
        assert {200} == {app.get(f"/items/{item}") for item in range(3)}
        assert 404 == app.get("/nowhere")
        app.stop()
    assert {name_of(line): 3, "GET <unmatched>": 1} == rows_of(sidecar, service)


def test_functions_are_counted(sidecar: Sidecar, directory: Path) -> None:
    """The decorated function, the block and the recorded timing are counted under their names."""
    environ = sidecar.app_environ(CHRONOPROF_SERVICE="functions")
    done = subprocess.run(
        [sys.executable, "-c", "import functions"],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "recorded=3, acknowledged=3" in done.stdout
    counted = {"functions.checkout": 1, "checkout.load_prices": 1, "import.row": 1}
    assert counted == rows_of(sidecar, "functions")


def test_a_task_is_counted(sidecar: Sidecar, directory: Path) -> None:
    """A worker that is started by the command on the page counts the tasks it ran."""
    (line,) = re.findall(r"^```sh\n(celery .*)\n```", PAGE, re.MULTILINE)
    for name in ("data_in", "data_out", "control"):
        (directory / name).mkdir()
    producer = Celery(broker="filesystem://", set_as_current=False)
    producer.conf.broker_transport_options = {
        "data_folder_in": str(directory / "data_in"),
        "data_folder_out": str(directory / "data_in"),
        "control_folder": str(directory / "control"),
    }
    producer.send_task("shop.add", (1, 2))
    environ = sidecar.app_environ(CHRONOPROF_SERVICE="celery", CELERY_BROKER_URL="filesystem://")
    command = [sys.executable, "-m", *shlex.split(line), "--without-gossip", "--without-mingle"]
    with (directory / "worker.log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=directory, env=environ, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: rows_of(sidecar, "celery") == {"celery shop.add": 1}, "the task")
    finally:
        os.killpg(worker.pid, signal.SIGKILL)  # asked to end, this broker takes six seconds
        worker.wait(DEADLINE_SECONDS)


def test_every_framework_has_its_example() -> None:
    """Each middleware of the package is imported or named on the page, and each file of the page is run."""
    client = Path(__file__).parents[2] / "chronoprof_sidecar" / "client"
    middlewares = {path.stem for path in client.glob("*.py") if "\nclass ProfilingMiddleware" in path.read_text()}
    assert 8 == len(middlewares)
    assert all(f"chronoprof_sidecar.client.{name}" in PAGE for name in middlewares)
    run = [*SERVED, "functions", "celery_shop"]
    assert all(any(module in line for line in run) for module in MODULES), (MODULES, run)
