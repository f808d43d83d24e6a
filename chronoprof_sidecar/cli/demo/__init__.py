"""`chronoprof demo`: a real small web app under load beside a sidecar, to look at and to ask.

Owns the order of things: what starts after what, and what stops before what. Everything lives in one temporary
directory and on the loopback interface, and ends with the command.
"""

import argparse
import importlib
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

from chronoprof_sidecar.auth import Role, generate_key
from chronoprof_sidecar.cli.command import Subparsers
from chronoprof_sidecar.cli.demo.children import Child, accepts_connections, find_port, run_child
from chronoprof_sidecar.cli.demo.load import Load, run_load
from chronoprof_sidecar.cli.demo.screen import LiveTable, conclude, introduce
from chronoprof_sidecar.cli.demo.stopping import StopRequest, stop_on_signals
from chronoprof_sidecar.cli.extras import needs_extra
from chronoprof_sidecar.cli.target import Target
from chronoprof_sidecar.cli.transport import RefusedError, Sidecar, UnreachableError, as_mapping
from chronoprof_sidecar.protocol import DATA_PATH, SENDERS_PATH

REFRESH_SECONDS: Final = 1.0
WORKERS: Final = 3
REQUESTS_PER_WORKER: Final = 150
"""After about so many a worker ends and another begins, as with memory leaks: their counts must survive them."""
SHOWN_ROWS: Final = 12


def add_parser(subparsers: Subparsers) -> None:
    """Register `demo`."""
    parser = subparsers.add_parser(
        "demo",
        help="run a small web app under load beside a sidecar",
        description="Run a sidecar, a small instrumented web app of several processes and some load, and show what the "
        "sidecar measures. Nothing of it is left behind.",
    )
    parser.add_argument("--duration", type=_positive, metavar="SECONDS", help="end by itself (default: until Ctrl-C)")
    parser.add_argument("--port", type=int, default=8000, help="of the sidecar; 0 takes any (default: 8000)")
    parser.add_argument("--app-port", type=int, default=8080, metavar="PORT", help="of the app (default: 8080)")
    parser.set_defaults(run=run)


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Run the demo until it is told to stop."""
    with needs_extra("demo", "demo"):
        for package in ("aiohttp", "flask", "gunicorn"):
            importlib.import_module(package)
    port, app_port = find_port(args.port, "--port"), find_port(args.app_port, "--app-port")
    keys = {role: generate_key(role) for role in Role}
    sidecar = Sidecar(Target(f"http://127.0.0.1:{port}", keys[Role.ADMIN], "the demo"))
    with stop_on_signals() as stop, TemporaryDirectory(prefix="chronoprof-demo-") as name:
        directory = Path(name)
        with run_child("sidecar", _sidecar_arguments(port), _sidecar_environ(keys), directory) as server:
            server.wait_until(lambda: _is_ready(sidecar), stop)
            first_generation = as_mapping(_ask(sidecar).get("meta")).get("generation")
            with run_child("app", _app_arguments(app_port), _app_environ(port, keys), directory) as app:
                app.wait_until(lambda: accepts_connections(app_port), stop)
                introduce(f"http://localhost:{port}", keys[Role.ADMIN], app_port, name, args.duration)
                with run_load(app_port) as load:
                    _watch(sidecar, load, (server, app), stop, args.duration)
            conclude(_ask(sidecar), sidecar.get(SENDERS_PATH).report(), load, first_generation)
    return 0


def _watch(
    sidecar: Sidecar, load: Load, children: tuple[Child, ...], stop: StopRequest, duration_seconds: float | None
) -> None:
    """Redraw the table until told to stop."""
    end = float("inf") if duration_seconds is None else monotonic() + duration_seconds
    table = LiveTable()
    while monotonic() < end and not stop.wait(min(REFRESH_SECONDS, end - monotonic())):
        for child in children:
            child.check()
        table.draw(_ask(sidecar, SHOWN_ROWS), load)


def _ask(sidecar: Sidecar, limit: int | None = None) -> dict[str, Any]:
    return sidecar.get(DATA_PATH, {"limit": limit}).report()


def _is_ready(sidecar: Sidecar) -> bool:
    try:
        sidecar.get("/health/ready", with_key=False)
    except (UnreachableError, RefusedError):
        return False
    return True


def _sidecar_arguments(port: int) -> list[str]:
    return ["chronoprof_sidecar", "serve", f"--port={port}", "--data-dir=data"]


def _app_arguments(port: int) -> list[str]:
    return [
        "gunicorn",
        f"--bind=127.0.0.1:{port}",
        f"--workers={WORKERS}",
        "--threads=4",
        f"--max-requests={REQUESTS_PER_WORKER}",
        f"--max-requests-jitter={REQUESTS_PER_WORKER // 4}",
        "--no-control-socket",
        "chronoprof_sidecar.cli.demo.app:create_app()",
    ]


def _clean_environ() -> dict[str, str]:
    """Return the environment without the settings in it: the demo is the same for everybody."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CHRONOPROF_", "GUNICORN_"))}


def _sidecar_environ(keys: dict[Role, str]) -> dict[str, str]:
    return _clean_environ() | {f"CHRONOPROF_{role.upper()}_KEYS": key for role, key in keys.items()}


def _app_environ(port: int, keys: dict[Role, str]) -> dict[str, str]:
    return _clean_environ() | {
        "ENABLE_PROFILING": "true",
        "CHRONOPROF_URL": f"http://127.0.0.1:{port}",
        "CHRONOPROF_API_KEY": keys[Role.INGEST],
        "CHRONOPROF_SERVICE": "demo",
    }
