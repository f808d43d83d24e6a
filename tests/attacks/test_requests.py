"""Whatever request our own description allows, or nearly allows, is answered as the description says."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.sidecar import ADMIN_KEY, Sidecar
from tests.proof import Proof
from tests.scale import scaled

EXAMPLES = scaled(8, full=480)
"""Fuzzed requests per operation, beyond those that cover every parameter."""
TIMEOUT_SECONDS = scaled(110, full=800)
# Two keys that differ are a 400, too many wrong ones a 429, and of a batch only the bad items are refused, by name in a
# 200: what these three checks take for mistakes.
UNFITTING_CHECKS = "positive_data_acceptance,ignored_auth,negative_data_rejection"


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A running sidecar whose directory of saves never gets full."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_KEEP_SAVES="20").start()
    yield running
    running.close()


def fuzz(sidecar: Sidecar, directory: Path, examples: int, *headers: str) -> int:
    """Let Schemathesis try the description out; return the number of requests, none of which may fail a check."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{sidecar.url}/openapi.json", "--no-color"]
    command += [f"--max-examples={examples}", "--phases=examples,coverage,fuzzing", "--suppress-health-check=all"]
    command += [f"--exclude-checks={UNFITTING_CHECKS}", "--seed=20261123", "--generation-database=none"]
    command += [argument for header in headers for argument in ("--header", header)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    found = re.search(r"(\d+) generated", done.stdout)
    assert found is not None, done.stdout
    return int(found[1])


@pytest.mark.timeout(scaled(120, full=900))
def test_fuzzed_requests_are_answered_as_described(sidecar: Sidecar, tmp_path: Path, proof: Proof) -> None:
    """Five thousand fuzzed requests with the admin's key: no 5xx, and every answer has the shape that is described."""
    requests = fuzz(sidecar, tmp_path, EXAMPLES, f"X-API-Key: {ADMIN_KEY}")
    proof.reached("requests", requests)
    proof.reached("5xx", 0, goal=0)
    proof.reached("answers unlike their description", 0, goal=0)
    assert sidecar.stop() == 0
    assert "Traceback" not in sidecar.log()


@pytest.mark.timeout(scaled(120, full=900))
def test_fuzzed_requests_without_a_key_change_nothing(sidecar: Sidecar, tmp_path: Path, proof: Proof) -> None:
    """Five thousand fuzzed requests without a key leave rows, senders, generation and saves as they were."""

    def everything() -> object:
        report = sidecar.request("GET", "/api/v1/profiling/data")[1]
        saves = sidecar.request("GET", "/api/v1/profiling/saves")[1]
        return report["data"], {**report["meta"], "generated_at": ""}, len(sidecar.senders()), saves

    sidecar.request("POST", "/api/v1/profiling/ingest", {"durations": {"before": [0.25]}})
    before = everything()
    requests = fuzz(sidecar, tmp_path, EXAMPLES)
    proof.reached("requests", requests)
    proof.reached("state change", int(before != everything()), goal=0)
    assert before == everything()
