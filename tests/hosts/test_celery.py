"""Celery's prefork pool: processes that are forked, replaced after some tasks, and ended without `atexit`."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hosts.celery_app import make_app
from tests.process.app_server import ROOT
from tests.process.sidecar import DEADLINE_SECONDS, Sidecar, wait_until

TASKS = 60
NAMES = {"celery get_item": TASKS, "tests.hosts.celery_app.look_up": TASKS // 2}


@contextmanager
def celery_worker(sidecar: Sidecar, directory: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker with two processes, whose messages are in the directory `broker`."""
    command = [sys.executable, "-m", "celery", "--app=tests.hosts.celery_app", "worker", "--concurrency=2", *arguments]
    environ = sidecar.app_environ(BROKER_DIRECTORY=str(directory / "broker"))
    with (directory / "app.log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize("arguments", [[], ["--max-tasks-per-child=20"]], ids=["", "max-tasks"])
def test_celery(sidecar: Sidecar, tmp_path: Path, arguments: list[str]) -> None:
    """Every task is counted once, failed ones as errors, also by processes that were replaced."""
    (tmp_path / "broker").mkdir()
    producer = make_app(str(tmp_path / "broker"))
    with celery_worker(sidecar, tmp_path, *arguments) as worker:
        for item in range(TASKS):
            producer.send_task("get_item", [item])
        wait_until(lambda: sidecar.calls() == NAMES, f"{NAMES}")
        worker.send_signal(signal.SIGTERM)
        assert 0 == worker.wait(DEADLINE_SECONDS), (tmp_path / "app.log").read_text()
    assert NAMES == sidecar.calls()
    assert TASKS // 2 == sidecar.data()["celery get_item"]["errors"]
    senders = sidecar.senders()
    assert {True} == {sender["final"] for sender in senders}, senders
    assert (len(senders) > 2) == bool(arguments), senders
