"""`chronoprof demo` as a newcomer runs it: real processes, real load, and the specification's curl lines."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chronoprof_sidecar.cli.demo import WORKERS
from chronoprof_sidecar.cli.demo.children import accepts_connections

PATIENCE_SECONDS = 90.0
COUNTS = re.compile(r"Its users counted (\d+) answers, the sidecar (\d+) calls in (\d+) worker processes\.")
ENOUGH_FOR_NEW_WORKERS = re.compile(r"Load: ([6-9]\d\d|\d{4,}) answers")
"""The three workers end after 188 requests each, at the latest."""
CURL = re.compile(r"^curl .*(?:\\\n.*)+", re.MULTILINE)


@contextmanager
def running_demo(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo on free ports, with its temporary files under `directory`, and make sure that it ends."""
    # What a newcomer may have in the environment must not change the demo.
    environ = os.environ | {"TMPDIR": str(directory), "ENABLE_PROFILING": "false", "CHRONOPROF_PORT": "1"}
    command = [sys.executable, "-m", "chronoprof_sidecar", "demo", "--port=0", "--app-port=0", *arguments]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        try:
            yield demo
        finally:
            # Not kill: it is the demo that stops its children.
            demo.terminate()


def read_until(demo: subprocess.Popen[str], end: str | re.Pattern[str]) -> str:
    """Return what the demo prints up to the line in which `end` is found."""
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if re.search(end, line):
            return "".join(lines)
    raise AssertionError("".join(lines))


def ports_in(introduction: str) -> set[int]:
    """Return the ports of the sidecar and the app."""
    ports = {int(port) for port in re.findall(r"http://localhost:(\d+)", introduction)}
    assert 2 == len(ports)
    return ports


def test_the_demo_counts_every_answer(tmp_path: Path) -> None:
    """After so much load that workers came and went, the sidecar's count is the users' own."""
    with running_demo(tmp_path) as demo:
        output = read_until(demo, ENOUGH_FOR_NEW_WORKERS)
        demo.send_signal(signal.SIGINT)
        output += demo.communicate(timeout=PATIENCE_SECONDS)[0]
    assert 0 == demo.returncode, output
    counts = COUNTS.search(output)
    assert counts, output
    assert "GET /api/v1/recall" in output
    assert "memories.search.rank" in output
    assert "no answer" not in output
    assert int(counts[1]) == int(counts[2]) > 0
    assert int(counts[3]) > WORKERS


def test_the_demo_ends_by_itself(tmp_path: Path) -> None:
    """Told for how long, it ends then, with its account."""
    with running_demo(tmp_path, "--duration=1") as demo:
        output, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    assert 0 == demo.returncode, output
    assert COUNTS.search(output), output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM ends the demo with its account, exit code 0, no process and no file."""
    with running_demo(tmp_path) as demo:
        ports = ports_in(read_until(demo, "Ctrl-C ends it"))
        assert all(map(accepts_connections, ports))
        demo.send_signal(number)
        output, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    assert 0 == demo.returncode, output
    assert COUNTS.search(output), output
    assert not any(map(accepts_connections, ports))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.system
def test_the_curl_lines_can_be_pasted(tmp_path: Path) -> None:
    """The specification's three requests work as they are printed: look, save, reset."""
    bash = shutil.which("bash")
    assert bash
    assert shutil.which("curl")
    with running_demo(tmp_path) as demo:
        look, reset, save = CURL.findall(read_until(demo, "Ctrl-C ends it"))
        read_until(demo, "GET /api/v1/recall")

        def paste(line: str) -> str:
            command = [bash, "-c", f"{line} --silent --show-error --fail --max-time 20"]
            return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

        row = json.loads(paste(look))["data"]["GET /api/v1/recall"]
        assert row["min_time"] <= row["avg_time"] <= row["max_time"]
        assert "Profiling data saved to profiling_data.json" == json.loads(paste(save))["message"]
        assert "" == paste(reset)
        demo.send_signal(signal.SIGINT)
        output, _ = demo.communicate(timeout=PATIENCE_SECONDS)
    assert "with your last reset" in output
