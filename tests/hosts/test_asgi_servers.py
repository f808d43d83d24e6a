"""uvicorn, alone, with workers of its own and with gunicorn's: only `lifespan.shutdown` tells of the end there."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.hosts.counting import assert_counted, load
from tests.hosts.starlette_app import NAMES
from tests.hosts.uvicorn import STARLETTE_APP, Uvicorn
from tests.process.gunicorn import Gunicorn
from tests.process.sidecar import Sidecar


@pytest.mark.parametrize("workers", [1, 2])
def test_uvicorn(sidecar: Sidecar, tmp_path: Path, workers: int) -> None:
    """Every request is counted once, by one process or by several."""
    with closing(Uvicorn(sidecar, tmp_path, f"--workers={workers}")) as app:
        answered = load(app)
        app.stop()
    assert_counted(sidecar, dict.fromkeys(NAMES, answered), app, senders_at_most=workers)


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
def test_uvicorn_workers_of_gunicorn(sidecar: Sidecar, tmp_path: Path, preload: list[str]) -> None:
    """gunicorn's uvicorn workers count every request, whether the app was loaded before or after the fork."""
    pytest.importorskip("uvicorn_worker")
    arguments = ["--workers=2", "--worker-class=uvicorn_worker.UvicornWorker", *preload]
    with closing(Gunicorn(sidecar, tmp_path, *arguments, app=STARLETTE_APP)) as app:
        answered = load(app)
        app.stop()
    assert_counted(sidecar, dict.fromkeys(NAMES, answered), app, senders_at_most=2)
