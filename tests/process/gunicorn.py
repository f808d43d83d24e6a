"""A real gunicorn for tests."""

import sys
from pathlib import Path

from tests.process.app_server import AppServer
from tests.process.sidecar import Sidecar

FLASK_APP = "tests.process.flask_app:app"


class Gunicorn(AppServer):
    """`gunicorn APP` on a free port, instrumented for a sidecar."""

    def __init__(
        self, sidecar: Sidecar, directory: Path, *arguments: str, app: str = FLASK_APP, **environ: str
    ) -> None:
        def command(port: int) -> list[str]:
            bind = f"--bind=127.0.0.1:{port}"
            return [sys.executable, "-m", "gunicorn", bind, "--no-control-socket", *arguments, app]

        super().__init__(sidecar, directory, command, **environ)
