"""uWSGI, which forks its workers in C and past Python's own hooks, unless it is told otherwise."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.hosts.counting import assert_counted, load, wait_until_counted
from tests.hosts.uwsgi import Uwsgi
from tests.process.app_server import ROOT
from tests.process.sidecar import Sidecar, wait_until

pytest.importorskip("pyuwsgi", reason="uWSGI has no wheel for this Python")

ENDPOINT = "GET /items/<int:item>"
FUNCTION = "tests.process.flask_app.look_up"
LEFT_BEHIND = "calls timed while uWSGI's master loads the app are not sent"

MASTER = ["--master", "--processes=2"]
THREADLESS = "no background thread can run in this process"


@pytest.fixture(scope="module")
def threadless_uwsgi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a uWSGI lies that keeps the interpreter to itself between requests."""
    directory = tmp_path_factory.mktemp("uwsgi")
    lock = ROOT / "requirements" / "uwsgi-threadless.txt"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    subprocess.run([*pip, "--target", str(directory), "--requirement", str(lock)], check=True, timeout=100)
    return directory


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        MASTER,
        [*MASTER, "--enable-threads", "--threads=4"],
        [*MASTER, "--lazy-apps"],
        [*MASTER, "--py-call-osafterfork"],
        [*MASTER, "--py-call-uwsgi-fork-hooks"],
    ],
    ids=["alone", "master", "threads", "lazy-apps", "osafterfork", "fork-hooks"],
)
def test_uwsgi(sidecar: Sidecar, tmp_path: Path, arguments: list[str]) -> None:
    """Every request is counted once, and every worker is a sender of its own, however it came to be.

    uWSGI runs no exit hook in a worker that it kills in the middle of a request, so the figures are waited for.
    """
    with closing(Uwsgi(sidecar, tmp_path, *arguments)) as app:
        answered = load(app)
        calls = {ENDPOINT: answered, FUNCTION: answered}
        wait_until_counted(sidecar, calls)
        if "--lazy-apps" in arguments:
            app.wait_until_loaded(workers=2)
        app.stop()
    assert_counted(sidecar, calls, app, senders_at_most=2)


def test_uwsgi_that_ends_gracefully(sidecar: Sidecar, tmp_path: Path) -> None:
    """Workers that may finish their requests ship what they timed since they last did."""
    graceful = "--hook-master-start=unix_signal:15 gracefully_kill_them_all"
    with closing(Uwsgi(sidecar, tmp_path, *MASTER, graceful, CHRONOPROF_FLUSH_INTERVAL="60")) as app:
        answered = load(app)
        app.stop()
    assert_counted(sidecar, {ENDPOINT: answered, FUNCTION: answered}, app, senders_at_most=2)


def test_uwsgi_workers_that_come_and_go(sidecar: Sidecar, tmp_path: Path) -> None:
    """Workers that end after some requests leave nothing behind and take nothing of each other along."""
    with closing(Uwsgi(sidecar, tmp_path, *MASTER, "--max-requests=100", "--min-worker-lifetime=0")) as app:
        answered = load(app, 300)
        calls = {ENDPOINT: answered, FUNCTION: answered}
        wait_until_counted(sidecar, calls)
        # uWSGI does not end if it is told to between the end of a worker and the beginning of the next.
        wait_until(lambda: app.log().count("work of process") == app.log().count("Respawned"), "all workers")
        app.stop()
    assert_counted(sidecar, calls, app, senders_at_most=answered)
    assert len(sidecar.senders()) > 2


@pytest.mark.parametrize(("arguments", "early_calls"), [([], 0), (["--lazy-apps"], 2)], ids=["prefork", "lazy-apps"])
def test_calls_while_uwsgi_loads_the_app(
    sidecar: Sidecar, tmp_path: Path, arguments: list[str], early_calls: int
) -> None:
    """What the master times stays out of the workers' figures and is said; what each worker times is counted."""
    with closing(Uwsgi(sidecar, tmp_path, *MASTER, *arguments, app="tests.hosts.early_flask_app:app")) as app:
        answered = load(app)
        calls = {ENDPOINT: answered, FUNCTION: answered + early_calls}
        wait_until_counted(sidecar, calls)
        app.stop()
    assert_counted(sidecar, calls, app, senders_at_most=2)
    assert (LEFT_BEHIND in app.log()) == (not early_calls)


NEEDS_OLD_UWSGI = pytest.mark.skipif(sys.version_info >= (3, 13), reason="a uWSGI without threads has no wheel here")


@NEEDS_OLD_UWSGI
def test_uwsgi_without_threads(sidecar: Sidecar, tmp_path: Path, threadless_uwsgi: Path) -> None:
    """Where no thread can run, the requests themselves send, the exit sends the rest, and it is said."""
    with closing(Uwsgi(sidecar, tmp_path, PYTHONPATH=str(threadless_uwsgi))) as app:
        answered = load(app)
        app.wait_until_idle()
        app.stop()
    assert_counted(sidecar, {ENDPOINT: answered, FUNCTION: answered}, app, senders_at_most=2)
    assert THREADLESS in app.log()


@NEEDS_OLD_UWSGI
@pytest.mark.parametrize("arguments", [MASTER, [*MASTER, "--lazy-apps"]], ids=["master", "lazy-apps"])
def test_uwsgi_workers_without_threads(
    sidecar: Sidecar, tmp_path: Path, threadless_uwsgi: Path, arguments: list[str]
) -> None:
    """Nor do workers need one: each sends in its requests what is due, and all is counted once.

    uWSGI may kill them before they can say farewell, so the figures are waited for.
    """
    python_path = str(threadless_uwsgi)
    with closing(Uwsgi(sidecar, tmp_path, *arguments, PYTHONPATH=python_path, CHRONOPROF_FLUSH_INTERVAL="0.05")) as app:
        answered = load(app)

        def all_counted() -> bool:
            nonlocal answered
            assert 200 == app.get("/items/1")
            answered += 1
            return {ENDPOINT: answered, FUNCTION: answered} == sidecar.calls()

        wait_until(all_counted, "a moment at which both workers have sent all")
        app.stop()
    assert {ENDPOINT: answered, FUNCTION: answered} == sidecar.calls()
    assert 2 >= len(sidecar.senders())
    assert THREADLESS in app.log()
