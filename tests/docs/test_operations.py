"""docs/operations.md: its crontab, its backup and what it quotes."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chronoprof_sidecar.settings import SPECS
from tests.docs.pages import blocks_of, files_of, read_page
from tests.process.sidecar import ADMIN_KEY, READ_KEY, Sidecar

PAGE = read_page("docs/operations.md")
(CRONTAB,) = blocks_of(PAGE, "cron")
CRON = re.findall(r"^[\d*/]+(?: [\d*/]+){4} +(.*)$", CRONTAB, re.MULTILINE)
ROTATES = [line for line in CRON if "rotate" in line]


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


SENDER = """
from chronoprof_sidecar.client import profiler
for name in iter(input, "end"):
    profiler.record(name, 0.1)
    print(profiler.flush(timeout=20), flush=True)
"""


class Sending:
    """An app that records one call for each line that it is told."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SENDER],
            env=sidecar.app_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def record(self, name: str) -> None:
        """Record a call, and return when the sidecar has acknowledged it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        assert "True\n" == self._process.stdout.readline()

    def close(self) -> None:
        """End the app."""
        self._process.communicate("end\n", timeout=30)


def run_script(name: str, sidecar: Sidecar, directory: Path) -> None:
    """Run a script of the page on this sidecar's directory, which is stopped and started in the place of a service."""
    data = sidecar.directory / "data"
    stop, *lines, start = files_of(PAGE)[name].splitlines()
    assert ("systemctl stop chronoprof", "systemctl start chronoprof") == (stop, start)
    commands = "\n".join(lines).replace("/var/lib/chronoprof", str(data)).replace("-C /var/lib", f"-C {data.parent}")
    commands = re.sub(r" chronoprof$", f" {data.name}", commands, flags=re.MULTILINE)
    sidecar.stop()
    subprocess.run(["sh", "-euc", commands], cwd=directory, timeout=30, check=True)
    sidecar.start()


def test_a_backup_is_restored(sidecar: Sidecar, tmp_path: Path) -> None:
    """The table is that of the backup; an app that ran all the while goes on, and no call of its counts twice."""
    app = Sending(sidecar)
    app.record("before")
    run_script("backup.sh", sidecar, tmp_path)
    app.record("between")
    run_script("restore.sh", sidecar, tmp_path)
    assert {"before": 1} == sidecar.calls()
    app.record("after")
    app.close()
    assert {"before": 1, "after": 1} == sidecar.calls()


def test_settings_are_quoted_as_they_are() -> None:
    """Every setting on the page exists, and the table has its default."""
    defaults = {spec.name: spec.default for spec in SPECS}
    named = set(re.findall(r"CHRONOPROF_[A-Z_]+[A-Z]", PAGE)) - {"CHRONOPROF_API_KEY", "CHRONOPROF_API_KEY_FILE"}
    assert named <= set(defaults)
    quoted = dict(re.findall(r"^\| `(CHRONOPROF_[A-Z_]+)` \| `?([^|`]+)`? \|", PAGE, re.MULTILINE))
    assert quoted
    assert quoted == {name: defaults[name] for name in quoted}
