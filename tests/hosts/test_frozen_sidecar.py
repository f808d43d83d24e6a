"""A sidecar that is frozen in the middle of everything: it takes connections and bytes, and answers nothing."""

import statistics
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
from tests.proof import Proof
from tests.scale import scaled

FROZEN_SECONDS = float(scaled(3, full=30))
A_WAIT_SECONDS = 2.0
"""Less than a request would take that waits for the sidecar, and far more than any other does on a busy machine."""
END_SECONDS = 8.0
"""Less than the ten seconds that the end of a server would take if the shim let one request to the sidecar run out."""

HOSTS: dict[str, tuple[Callable[[Sidecar, Path], AppServer], tuple[str, str]]] = {
    "gunicorn": (lambda sidecar, path: Gunicorn(sidecar, path, "--threads=4"), test_wsgi_servers.NAMES),
    "uvicorn": (Uvicorn, starlette_app.NAMES),
}


@pytest.mark.parametrize("host", HOSTS)
def test_an_app_beside_a_frozen_sidecar(sidecar: Sidecar, tmp_path: Path, host: str, proof: Proof) -> None:
    """No request waits for a sidecar that is frozen, and all are counted once after it goes on."""
    start, names = HOSTS[host]
    with closing(start(sidecar, tmp_path)) as app:
        before = _load_for(FROZEN_SECONDS, app)
        wait_until(sidecar.calls, "the first figures")
        with sidecar.frozen():
            during = _load_for(FROZEN_SECONDS, app)
        app.stop()
    assert {200} == before.statuses | during.statuses
    assert max(during.durations_seconds) < A_WAIT_SECONDS
    assert_counted(sidecar, dict.fromkeys(names, before.answered + during.answered), app, senders_at_most=1)
    proof.reached("p99 before", f"{_p99_ms(before):.1f} ms of {before.answered} requests")
    proof.reached(f"frozen for {FROZEN_SECONDS:.0f} s", f"{_p99_ms(during):.1f} ms of {during.answered} requests")


def _load_for(seconds: float, app: AppServer) -> Load:
    """Make requests for so long; return the load that has ended."""
    users = Load(app, threads=2)
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, "the end of the load", seconds + 30)
    users.stop()
    return users


def _p99_ms(users: Load) -> float:
    return statistics.quantiles(users.durations_seconds, n=100)[-1] * 1000


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
