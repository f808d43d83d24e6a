"""A real uvicorn for tests."""

import sys
from pathlib import Path

from tests.process.app_server import AppServer
from tests.process.sidecar import Sidecar

STARLETTE_APP = "tests.hosts.starlette_app:app"


class Uvicorn(AppServer):
    """`uvicorn APP` on a free port, instrumented for a sidecar."""

    def __init__(
        self, sidecar: Sidecar, directory: Path, *arguments: str, app: str = STARLETTE_APP, **environ: str
    ) -> None:
        def command(port: int) -> list[str]:
            return [sys.executable, "-m", "uvicorn", f"--port={port}", *arguments, app]

        super().__init__(sidecar, directory, command, **environ)
