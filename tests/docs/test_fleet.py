"""docs/fleet.md: the move from one sidecar to two that share a database, walked with an app that runs all the while."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest

from tests.docs.pages import files_of, read_page
from tests.faults.proxy import Fate, Proxy
from tests.process.sidecar import ADMIN_KEY, INGEST_KEY, Sidecar, wait_until
from tests.store.server import PostgresqlServer, running_server

pytestmark = pytest.mark.system

MOVE = files_of(read_page("docs/fleet.md"))["move.sh"].splitlines()
APP = """
from chronoprof_sidecar.client import profiler
for name in iter(input, "end"):
    profiler.record(name, 0.25)
    print(profiler.flush(timeout=0.5 if name == "lost" else 30), flush=True)
"""


class Balancer(Proxy):
    """One address for several sidecars, one request for each in turn."""

    def __init__(self, ports: Sequence[int]) -> None:
        super().__init__(0, lambda: Fate.PASS)
        self.lead_to(ports)

    def lead_to(self, ports: Sequence[int]) -> None:
        """Pass further requests on to these."""
        self._ports = cycle(ports)

    async def _forward(self, content: bytes) -> bytes:
        self._upstream_port = next(self._ports)
        return await super()._forward(content)


class App:
    """A process with the shim, which records a call for each line that it is told."""

    def __init__(self, url: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")}
        shim = {"ENABLE_PROFILING": "1", "CHRONOPROF_URL": url, "CHRONOPROF_API_KEY": INGEST_KEY}
        self._process = subprocess.Popen(
            [sys.executable, "-c", APP], env=clean | shim, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def record(self, name: str) -> bool:
        """Record a call, and return whether all calls so far are acknowledged in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline() == "True\n"

    def close(self) -> None:
        """End it."""
        self._process.communicate("end\n", timeout=30)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """The database of the fleet."""
    with running_server() as running:
        yield running


def run_lines(lines: Sequence[str], sidecar: Sidecar, store: Path) -> str:
    """Run commands of the page on this sidecar's directory, and return what they print."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")}
    environ = {
        **clean,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CHRONOPROF_URL": sidecar.url,
        "CHRONOPROF_API_KEY": ADMIN_KEY,
        "CHRONOPROF_ADMIN_KEYS": ADMIN_KEY,
        "CHRONOPROF_STORE_FILE": str(store),
    }
    commands = "\n".join(lines).replace("/var/lib/chronoprof", str(sidecar.directory / "data"))
    done = subprocess.run(
        ["sh", "-euc", commands], cwd=store.parent, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_move_loses_and_doubles_nothing(server: PostgresqlServer, tmp_path: Path) -> None:
    """An app that runs all the while, and whose last answer before the move is lost, has each call counted once;
    window, history and saves of the old sidecar are at both of the new ones."""
    store = tmp_path / "store"
    store.write_text(server.url() + "\n")
    check, stop, move = MOVE
    with ExitStack() as stack:
        old = Sidecar(tmp_path / "old").start()
        stack.callback(old.close)
        balancer = Balancer([old.port])
        stack.enter_context(balancer.running())
        app = App(balancer.url)
        stack.callback(app.close)
        assert app.record("before")
        old.request("POST", "/api/v1/profiling/save?file_path=old.json")
        balancer.decide = lambda: Fate.LOSE_ANSWER
        assert not app.record("lost")
        wait_until(lambda: old.calls() == {"before": 1, "lost": 1}, "the old sidecar has counted")
        assert "takes writes" in run_lines([check], old, store)
        assert stop == "systemctl disable --now chronoprof"
        assert 0 == old.stop()
        assert "1 sender" in run_lines([move], old, store)
        fleet = [Sidecar(tmp_path / name, CHRONOPROF_STORE_FILE=str(store)).start() for name in ("new", "newer")]
        for each in fleet:
            stack.callback(each.close)
        balancer.lead_to([each.port for each in fleet])
        balancer.decide = lambda: Fate.PASS
        assert app.record("after")
        for each in fleet:
            assert {"before": 1, "lost": 1, "after": 1} == each.calls()
            assert {"before": 1, "lost": 1, "after": 1} == {
                name: row["calls"] for name, row in each.data("?since=24h").items()
            }
            status, saved = each.request("GET", "/api/v1/profiling/saves/old.json")
            assert (status, list(saved["data"])) == (200, ["before"])
            assert 1 == len(each.senders())
        assert "skipped" in run_lines([move], old, store)
