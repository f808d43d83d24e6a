"""docs/quick-start.md: a newcomer who pastes it sees the calls of the example."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import blocks_of, read_page, write_files
from tests.process.sidecar import wait_until

PAGE = read_page("docs/quick-start.md")
SERVE, TIME, LOOK = blocks_of(PAGE, "sh")
NAMES = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the newcomer's directory."""
    write_files(PAGE, tmp_path)
    return tmp_path


@pytest.fixture
def url(directory: Path) -> Iterator[str]:
    """Start the sidecar as the page does, on any free port."""
    install, keys, serve = SERVE.splitlines()
    assert install == "pip install 'chronoprof-sidecar[server]'"
    bin_path = f"{Path(sys.executable).parent}:{NAMES['PATH']}"
    environ = {**NAMES, "PATH": bin_path, "CHRONOPROF_PORT": "0"}
    subprocess.run(["sh", "-ec", keys], cwd=directory, env=environ, timeout=30, check=True, stdout=subprocess.DEVNULL)
    log = directory / "sidecar.log"
    with log.open("wb") as output:
        process = subprocess.Popen(["sh", "-c", f"exec {serve}"], cwd=directory, env=environ, stderr=output)
    try:
        wait_until(lambda: re.search(r"listening on (http://\S+:\d+)", log.read_text()), "the sidecar")
        yield re.findall(r"listening on (http://\S+:\d+)", log.read_text())[0]
    finally:
        process.terminate()
        process.wait(30)


def test_the_quick_start_works(url: str, directory: Path) -> None:
    """Keys, sidecar, app and table, each by the page's own line."""
    environ = {**NAMES, "PATH": f"{Path(sys.executable).parent}:{NAMES['PATH']}", "CHRONOPROF_URL": url}

    def run(text: str) -> str:
        command = ["sh", "-euc", text]
        done = subprocess.run(
            command, cwd=directory, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "hello Edsger" in run(TIME)
    run(LOOK)
    (as_json,) = (line for line in LOOK.splitlines() if "--json" in line)
    calls = {name: row["calls"] for name, row in json.loads(run(as_json))["data"].items()}
    assert {"__main__.greet": 3} == calls
