"""The README's examples work when they are pasted."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.sidecar import ADMIN_KEY, INGEST_KEY, READ_KEY, Sidecar

README = (Path(__file__).parents[2] / "README.md").read_text()
CRONTAB = "".join(re.findall(r"^```cron\n(.*?)^```", README, re.DOTALL | re.MULTILINE))
CRON = re.findall(r"^[\d*/]+(?: [\d*/]+){4} +(.*)$", CRONTAB, re.MULTILINE)
ROTATES = [line for line in CRON if "rotate" in line]
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_python_example_works(sidecar: Sidecar, tmp_path: Path) -> None:
    """The instrumented example counts what it says, under the names it says."""
    (tmp_path / "shop.py").write_text("\n".join(PYTHON))
    environ = {
        **os.environ,
        "ENABLE_PROFILING": "true",
        "CHRONOPROF_URL": sidecar.url,
        "CHRONOPROF_API_KEY": INGEST_KEY,
        "CHRONOPROF_SERVICE": "shop",
    }
    subprocess.run([sys.executable, "-c", "import shop"], cwd=tmp_path, env=environ, timeout=30, check=True)
    calls = {name: row["calls"] for name, row in sidecar.data().items()}
    assert calls == {"shop.checkout": 1, "checkout.load_prices": 1, "import.row": 1}


def run_as_cron(line: str, sidecar: Sidecar, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of the crontab with the shell and the few variables that cron has, and with files of this test."""
    (directory / "admin_key").write_text(ADMIN_KEY)
    (directory / "header").write_text(f"X-API-Key: {ADMIN_KEY}\n")
    assert not re.search(r"(?<!\\)%", line), "cron takes a bare % for the end of the command"
    command = line.replace("\\%", "%").replace("/etc/chronoprof", str(directory))
    command = command.replace("localhost:8000", f"localhost:{sidecar.port}")
    environ = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "CHRONOPROF_URL": sidecar.url}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        env=environ,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def saves_of(sidecar: Sidecar) -> list[Path]:
    return sorted((sidecar.directory / "data" / "saves").glob("*.json"))


def test_the_crontab_has_its_lines() -> None:
    """Every line that is no comment and no variable is a command that the tests below run."""
    lines = [line for line in CRONTAB.splitlines() if not line.startswith(("#", "PATH="))]
    assert 3 == len(lines) == len(CRON)
    assert 2 == len(ROTATES)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("line", ROTATES, ids=lambda line: line.split()[0])
def test_a_rotate_from_cron_works_and_a_retry_is_refused(sidecar: Sidecar, tmp_path: Path, line: str) -> None:
    """The line saves the hour and begins a window; run again in that hour it fails, says so, and changes nothing."""
    sidecar.request("POST", "/api/v1/profiling/ingest", {"durations": {"a": [0.1]}})
    first = run_as_cron(line, sidecar, tmp_path)
    assert (0, "", "") == (first.returncode, first.stdout, first.stderr)
    sidecar.request("POST", "/api/v1/profiling/ingest", {"durations": {"b": [0.1]}})
    before = len(saves_of(sidecar))
    second = run_as_cron(line, sidecar, tmp_path)
    if second.returncode == 0:  # the hour ended between the two
        before, second = len(saves_of(sidecar)), run_as_cron(line, sidecar, tmp_path)
    else:
        assert ["b"] == list(sidecar.data())
    assert second.returncode != 0
    assert ("", 1) == (second.stdout, second.stderr.count("\n"))
    assert "409" in second.stderr
    assert before == len(saves_of(sidecar))
    assert ["a"] == list(json.loads(saves_of(sidecar)[0].read_bytes())["data"])


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_cron_says_when_the_sidecar_is_gone(sidecar: Sidecar, tmp_path: Path) -> None:
    """Every line fails with one line on stderr, which cron mails, while nobody answers, and is silent before."""
    health = next(line for line in CRON if "health" in line)
    well = run_as_cron(health, sidecar, tmp_path)
    assert (0, "", "") == (well.returncode, well.stdout, well.stderr)
    sidecar.stop()
    for line in CRON:
        done = run_as_cron(line, sidecar, tmp_path)
        assert done.returncode != 0
        assert ("", 1) == (done.stdout, done.stderr.count("\n"))


def test_the_exits_of_a_rotate_from_cron(sidecar: Sidecar, tmp_path: Path) -> None:
    """1 where the sidecar refuses or is gone, 2 where nothing was asked."""
    (line,) = (line for line in ROTATES if line.startswith("chronoprof"))
    (tmp_path / "read_key").write_text(READ_KEY)
    refused = run_as_cron(line.replace("admin_key", "read_key"), sidecar, tmp_path)
    assert (1, True) == (refused.returncode, "403" in refused.stderr)
    assert 2 == run_as_cron(line.replace("admin_key", "no_such_key"), sidecar, tmp_path).returncode
    assert not saves_of(sidecar)


def test_a_rotate_from_cron_keeps_as_many_files_as_are_wanted(tmp_path: Path) -> None:
    """With `CHRONOPROF_KEEP_SAVES` the oldest files make room, and the new one stays."""
    sidecar = Sidecar(tmp_path / "sidecar", CHRONOPROF_KEEP_SAVES="2").start()
    try:
        for name in ("old.json", "older.json"):
            sidecar.request("POST", f"/api/v1/profiling/rotate?file_path={name}")
        assert 0 == run_as_cron(ROTATES[0], sidecar, tmp_path).returncode
        kept = [path.name for path in saves_of(sidecar)]
        assert 2 == len(kept)
        assert "older.json" in kept
        assert any(name.startswith("profiling_") for name in kept)
    finally:
        sidecar.close()
