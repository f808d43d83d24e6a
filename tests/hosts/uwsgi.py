"""A real uWSGI for tests, as the wheels of `pyuwsgi` ship it."""

import sys
from pathlib import Path

from tests.process.app_server import AppServer
from tests.process.gunicorn import FLASK_APP
from tests.process.sidecar import Sidecar, wait_until

COMMON = ["--need-app", "--die-on-term", "--disable-logging"]


class Uwsgi(AppServer):
    """`uwsgi --module APP` on a free port, instrumented for a sidecar."""

    def __init__(
        self, sidecar: Sidecar, directory: Path, *arguments: str, app: str = FLASK_APP, **environ: str
    ) -> None:
        def command(port: int) -> list[str]:
            uwsgi = [sys.executable, "-c", "from pyuwsgi import run; run()"]
            return [*uwsgi, f"--http-socket=127.0.0.1:{port}", f"--module={app}", *COMMON, *arguments]

        super().__init__(sidecar, directory, command, **environ)

    def wait_until_loaded(self, workers: int) -> None:
        """Wait until so many lazy workers have loaded the app: told to end before that, they end with a traceback."""
        wait_until(lambda: self.log().count("WSGI app 0 (mountpoint='') ready") == workers, "workers that have the app")

    def wait_until_idle(self) -> None:
        """Wait until a uWSGI of one process waits for requests: it runs no exit hook while it is busy with one.

        It is busy for a moment longer than the client sees, and never sleeps in that moment.
        """
        state = Path(f"/proc/{self._process.pid}/stat")
        wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "S", "a uWSGI that waits")
