"""The gate of a pipeline as docs/command.md has it: real processes of several versions, a real sidecar, one command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import blocks_of, read_page
from tests.process.sidecar import READ_KEY, Sidecar

(GATE,) = (block for block in blocks_of(read_page("docs/command.md"), "sh") if "--fail-if" in block)

APP = """
import sys
from random import Random
from chronoprof_sidecar.client import profiler

random, factor = Random(sys.argv[1]), float(sys.argv[2])
for _ in range(3000):
    profiler.record("GET /recall/{id}", 0.01 * factor * random.lognormvariate(0, 0.5))
    profiler.record("POST /observe", 0.03 * random.lognormvariate(0, 0.5))
assert profiler.flush(timeout=20.0)
"""


def measure(sidecar: Sidecar, version: str, factor: float) -> None:
    """Run an app of that version whose calls take `factor` times as long, until all of them are counted."""
    command = [sys.executable, "-c", APP, version, str(factor)]
    subprocess.run(command, env=sidecar.app_environ(CHRONOPROF_VERSION=version), timeout=60, check=True)


@pytest.fixture
def measured(sidecar: Sidecar) -> Sidecar:
    """Return a sidecar that has seen version 1.4, an equal 1.5 and a slower 1.6."""
    for version, factor in (("1.4", 1.0), ("1.5", 1.0), ("1.6", 1.3)):
        measure(sidecar, version, factor)
    return sidecar


def test_the_gate_of_the_page(measured: Sidecar, tmp_path: Path) -> None:
    """Pasted with a reader's key, it lets the equal release pass, and stops the slower one and says why."""
    bin_path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"PATH": bin_path, "CHRONOPROF_URL": measured.url, "CHRONOPROF_API_KEY": READ_KEY, "LANG": "C.UTF-8"}

    def paste(text: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-ec", text], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )

    passed, stopped = paste(GATE), paste(GATE.replace("version:1.5", "version:1.6"))
    assert (0, "") == (passed.returncode, passed.stderr)
    assert "Passed: no function met a condition" in passed.stdout
    assert (1, "") == (stopped.returncode, stopped.stderr)
    assert "Regressed: GET /recall/{id}: p95_time > 1.2x: " in stopped.stdout
    assert "Regressed: POST /observe" not in stopped.stdout
