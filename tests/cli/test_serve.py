"""`chronoprof serve`: a real sidecar, started, asked by the commands and stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronoprof_sidecar.settings import SPECS
from tests.cli.conftest import Run

SERVE = [sys.executable, "-m", "chronoprof_sidecar", "serve"]


class Sidecar:
    """A running `chronoprof serve` on a free port, in the working directory."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [*SERVE, "--port", "0", "--log-format", "json"], stderr=subprocess.PIPE, text=True, env=os.environ.copy()
        )
        self.lines: list[dict[str, str]] = []

    def wait_until_listening(self) -> str:
        """Return the URL that the log names; the process ends, and so does its log, if it never listens."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(json.loads(line))
            if self.lines[-1]["message"].startswith("listening on "):
                return self.lines[-1]["message"].removeprefix("listening on ")
        raise AssertionError(f"it never listened: {self.lines}")

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=30)
        self.lines += map(json.loads, rest.splitlines())
        return self.process.returncode


@pytest.fixture
def real_sidecar(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sidecar]:
    """Start a sidecar with the keys of a fresh `.env`."""
    monkeypatch.setenv("CHRONOPROF_SERVICE_HOST", "10.0.0.1")
    run("keys", "--write", ".env")
    sidecar = Sidecar()
    yield sidecar
    if sidecar.process.poll() is None:
        sidecar.process.kill()
        sidecar.process.communicate(timeout=30)


def test_the_commands_and_the_server_understand_each_other(real_sidecar: Sidecar, run: Run) -> None:
    """From sending over looking, saving and rotating to resetting: each command, against a real sidecar."""
    url = ["--url", real_sidecar.wait_until_listening()]

    assert run("send", "backup.nightly", "0.25", "--error", "--service", "cron", *url).code == 0
    assert run("send", "_other", "0.25", *url).code == 1
    row = json.loads(run("data", "--json", *url).out)["data"]["backup.nightly"]
    table = run("data", "--match", "backup.*", "--service", "cron", "--sort", "calls", "--limit", "1", *url).out
    refused = run("data", "--sort", "nonsense", *url)
    saved = run("save", "one.json", *url)
    again = run("save", "one.json", "--no-overwrite", *url)
    rotated = run("rotate", "two.json", "--generation", "1", *url)
    reset = run("reset", *url)
    senders = run("senders", *url)
    checked = run("check", *url)

    assert (row["calls"], row["total_time"], row["errors"]) == (1, 0.25, 1)
    assert table.splitlines()[1].split() == ["backup.nightly", "1", "1", *["250", "ms"] * 5]
    assert (refused.code, "sort must be one of" in refused.err) == (2, True)
    assert saved.out == "Profiling data saved to one.json\n"
    assert (again.code, "409" in again.err) == (1, True)
    assert rotated.out == "Profiling data saved to two.json\nThe new window is generation 2.\n"
    assert reset.out == "Reset. The new window is generation 3.\n"
    assert senders.out == "No process has shipped anything yet.\n"
    assert checked.code == 0, checked.out
    assert sorted(path.name for path in Path("data/saves").iterdir()) == ["one.json", "two.json"]


def test_it_stops_when_told_and_logs_no_key(real_sidecar: Sidecar, run: Run) -> None:
    """SIGTERM ends it with 0; every line was JSON, ignored names were warned of, and no key was logged."""
    url = real_sidecar.wait_until_listening()
    Path("wrong").write_text("wrong-key-0123456789")
    assert run("data", "--url", url, "--key-file", "wrong").code == 1

    assert real_sidecar.stop() == 0
    logged = json.dumps(real_sidecar.lines)
    keys = [line.partition("=")[2] for line in Path(".env").read_text().splitlines() if "_KEY" in line]
    assert len(keys) == 4
    assert [key for key in [*keys, "wrong-key-0123456789"] if key in logged] == []
    assert "CHRONOPROF_SERVICE_HOST in the environment is no setting and is ignored" in [
        line["message"] for line in real_sidecar.lines if line["level"] == "warning"
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--port", "http"], "CHRONOPROF_PORT on the command line is 'http': expected a whole number from 0 to 65535"),
        (["--env-file", "missing.env"], "cannot read the settings file missing.env: No such file or directory"),
        ([], "no admin key in CHRONOPROF_ADMIN_KEYS: make keys with `chronoprof keys --write .env`"),
    ],
)
def test_what_prevents_a_start_is_one_line(flags: list[str], message: str) -> None:
    """Bad settings end it with 2 and a message, without a traceback."""
    ran = subprocess.run([*SERVE, *flags], capture_output=True, text=True, check=False, timeout=60)

    assert (ran.returncode, ran.stderr.splitlines()[-1]) == (2, f"chronoprof: {message}")
    assert "Traceback" not in ran.stderr


def test_every_setting_but_the_keys_has_a_flag(run: Run) -> None:
    """Help lists each with its name in the environment; a key never comes as a flag."""
    out = run("serve", "--help").out

    assert [spec.name for spec in SPECS if (f"[{spec.name}]" in out.replace("\n", "")) is spec.secret] == []
    assert run("serve", "--admin-keys", "x" * 20).code == 2
