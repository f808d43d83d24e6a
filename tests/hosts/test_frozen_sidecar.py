"""A sidecar that is frozen in the middle of everything: it takes connections and bytes, and answers nothing."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.hosts import starlette_app, test_wsgi_servers
from tests.hosts.counting import assert_counted
from tests.hosts.uvicorn import Uvicorn
from tests.process.app_server import AppServer, Load
from tests.process.gunicorn import Gunicorn
from tests.process.sidecar import Sidecar, wait_until
from tests.scale import scaled

FROZEN_SECONDS = float(scaled(4, full=30))
A_WAIT_SECONDS = 2.0
"""Less than a request would take that waits for the sidecar, and far more than any other does on a busy machine."""
END_SECONDS = 8.0
"""Less than the ten seconds that the end of a server would take if the shim let one request to the sidecar run out."""

HOSTS: dict[str, tuple[Callable[[Sidecar, Path], AppServer], tuple[str, str]]] = {
    "gunicorn": (lambda sidecar, path: Gunicorn(sidecar, path, "--threads=4"), test_wsgi_servers.NAMES),
    "uvicorn": (Uvicorn, starlette_app.NAMES),
}


@pytest.mark.parametrize("host", HOSTS)
def test_an_app_beside_a_frozen_sidecar(sidecar: Sidecar, tmp_path: Path, host: str) -> None:
    """No request waits for the sidecar, and all are counted once after it goes on."""
    start, names = HOSTS[host]
    with closing(start(sidecar, tmp_path)) as app:
        users = Load(app, threads=2)
        wait_until(sidecar.calls, "the first figures")
        with sidecar.frozen():
            thaw_at = time.monotonic() + FROZEN_SECONDS
            wait_until(lambda: time.monotonic() >= thaw_at, "the length of the frost", FROZEN_SECONDS + 30)
        answered = users.stop()
        app.stop()
    assert {200} == users.statuses
    assert max(users.durations_seconds) < A_WAIT_SECONDS
    assert_counted(sidecar, dict.fromkeys(names, answered), app, senders_at_most=1)


@pytest.mark.parametrize("host", HOSTS)
def test_an_app_that_ends_beside_a_frozen_sidecar(sidecar: Sidecar, tmp_path: Path, host: str) -> None:
    """A server that is told to end does so, whether the sidecar answers or not."""
    start, _ = HOSTS[host]
    with closing(start(sidecar, tmp_path)) as app:
        users = Load(app, threads=2)
        wait_until(sidecar.calls, "the first figures")
        with sidecar.frozen():
            users.stop()
            began = time.monotonic()
            app.stop()
            assert time.monotonic() - began < END_SECONDS
    assert {200} == users.statuses
