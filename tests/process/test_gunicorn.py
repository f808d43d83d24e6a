"""Real workers that come and go, and a sidecar that comes and goes: every request is counted once."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.app_server import Load
from tests.process.gunicorn import Gunicorn
from tests.process.sidecar import Sidecar, wait_until
from tests.scale import scaled

ENDPOINT = "GET /items/<int:item>"
OUTAGE_SECONDS = scaled(3, full=20)
"""Even the short one meets the shim with its backoff begun and several deltas waiting."""


@pytest.fixture
def app(sidecar: Sidecar, tmp_path: Path) -> Iterator[Gunicorn]:
    """Workers that end after some 60 requests each."""
    running = Gunicorn(sidecar, tmp_path, "--workers=3", "--max-requests=60", "--max-requests-jitter=30")
    yield running
    running.close()


def test_every_request_is_counted_once_while_workers_churn(sidecar: Sidecar, app: Gunicorn) -> None:
    """After many workers have come and gone, `calls` is the number of requests that were made."""
    load = Load(app, threads=4)
    wait_until(lambda: load.answered >= 600, "600 requests")
    answered = load.stop()
    app.stop()
    assert load.statuses == {200}
    assert sidecar.calls() == {ENDPOINT: answered, "tests.process.flask_app.look_up": answered}
    assert len(re.findall(r"Booting worker", app.log())) > 6
    assert {sender["final"] for sender in sidecar.senders()} == {True}


def test_an_outage_of_the_sidecar_loses_and_doubles_nothing(sidecar: Sidecar, tmp_path: Path) -> None:
    """The app serves on while the sidecar is gone for seconds, and all that it served is counted once afterwards."""
    app = Gunicorn(sidecar, tmp_path, "--workers=2")
    try:
        load = Load(app, threads=2)
        wait_until(lambda: load.answered >= 100, "load before the outage")
        assert sidecar.stop() == 0
        before = load.answered
        threading.Event().wait(OUTAGE_SECONDS)  # the length of the outage is what is tested
        assert load.answered > before
        sidecar.start()
        answered = load.stop()
        app.stop()
    finally:
        app.close()
    assert load.statuses == {200}
    assert sidecar.calls() == {ENDPOINT: answered, "tests.process.flask_app.look_up": answered}
    _, answer = sidecar.request("GET", "/api/v1/profiling/data")
    assert answer["meta"]["complete"] is True
