"""gunicorn with every kind of worker that it has for WSGI apps."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.hosts.counting import assert_counted, load
from tests.process.gunicorn import Gunicorn
from tests.process.sidecar import Sidecar

NAMES = ("GET /items/<int:item>", "tests.process.flask_app.look_up")

WORKERS = {
    "sync": ["--workers=2"],
    "gthread": ["--workers=2", "--worker-class=gthread", "--threads=4"],
    "gevent": ["--workers=2", "--worker-class=gevent"],
}


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["", "preload"])
@pytest.mark.parametrize("kind", WORKERS)
def test_gunicorn(sidecar: Sidecar, tmp_path: Path, kind: str, preload: list[str]) -> None:
    """Every request of every worker is counted once, whether the app was loaded before or after the fork."""
    if kind == "gevent":
        pytest.importorskip("gevent")
    with closing(Gunicorn(sidecar, tmp_path, *WORKERS[kind], *preload)) as app:
        answered = load(app)
        app.stop()
    assert_counted(sidecar, dict.fromkeys(NAMES, answered), app, senders_at_most=2)
