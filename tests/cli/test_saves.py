"""`chronoprof saves`: what the sidecar keeps, and how one of its files comes here whole."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.cli.conftest import KEY, Run, StandIn

SAVES = "GET /api/v1/profiling/saves"
NEWEST = {"name": "b.json", "size_bytes": 2_345_678, "modified": "2026-11-26T22:05:00.000000Z"}
OLDER = {"name": "a\x1b.csv", "size_bytes": 812, "modified": "2026-11-26T21:05:00.000000Z"}


def test_saves_are_listed_as_they_come(ask: Run, sidecar: StandIn) -> None:
    """One row per file, in the order of the sidecar, harmless; `--json` is what it said."""
    sidecar.answer(SAVES, json.dumps({"saves": [NEWEST, OLDER]}).encode())
    assert ask("saves").out.splitlines() == [
        "FILE          SIZE                      WRITTEN",
        "b.json     2.35 MB  2026-11-26T22:05:00.000000Z",
        "a\\x1b.csv    812 B  2026-11-26T21:05:00.000000Z",
    ]
    assert {"saves": [NEWEST, OLDER]} == json.loads(ask("saves", "--json").out)
    sidecar.answer(SAVES, b'{"saves": []}')
    assert "Nothing has been saved yet.\n" == ask("saves").out


def test_a_file_is_downloaded_byte_by_byte(ask: Run, sidecar: StandIn) -> None:
    """What arrives is what the sidecar has; it lands here, or where it is told to."""
    content = os.urandom(300_000)
    sidecar.answer(f"{SAVES}/b.json", content)
    assert "Wrote b.json.\n" == ask("saves", "b.json").out
    assert 0 == ask("saves", "b.json", "-o", "c.json").code
    assert content == Path("b.json").read_bytes() == Path("c.json").read_bytes()


@pytest.mark.parametrize("name", ["live", "version:1.4", "-1d..now"])
def test_a_computed_window_becomes_a_save(ask: Run, sidecar: StandIn, name: str) -> None:
    """What the sidecar computes lands in a .json file: one called `live` would stand for the window that it was."""
    sidecar.answer(f"{SAVES}/{quote(name, safe='')}", b"{}")
    assert 0 == ask("saves", name).code
    assert [f"{name}.json"] == [path.name for path in Path().iterdir()]


def test_nothing_here_is_overwritten(ask: Run, sidecar: StandIn) -> None:
    """A file that is there already stays as it was, and the sidecar is not even asked."""
    Path("b.json").write_text("mine")
    done = ask("saves", "b.json")
    assert (1, "chronoprof: b.json exists and is not overwritten\n") == (done.code, done.err)
    assert "mine" == Path("b.json").read_text()
    assert not sidecar.received


@pytest.mark.parametrize("name", ["../../x.json", "no/such.json", "none.json"])
def test_a_name_is_one_name(ask: Run, sidecar: StandIn, name: str) -> None:
    """No part of it is taken for a path, there or here, and nothing is left of a refusal."""
    done = ask("saves", name)
    assert (1, True) == (done.code, "404" in done.err)
    assert sidecar.received[0].target.count("/") == "/api/v1/profiling/saves/".count("/")
    assert not list(Path().iterdir())


def test_an_answer_that_breaks_off_is_no_file(ask: Run, sidecar: StandIn) -> None:
    """Half of a save is not written under its name."""
    sidecar.answer(f"{SAVES}/b.json", b"{}", Content_Length="100000")
    assert 1 == ask("saves", "b.json").code
    assert not list(Path().iterdir())


def test_a_slow_download_is_seen_on_a_terminal(sidecar: StandIn) -> None:
    """Who waits sees what for; a download into a pipe says nothing but where it landed."""
    sidecar.answer(f"{SAVES}/b.json", os.urandom(3_000_000))
    ours, theirs = pty.openpty()
    environ = {**os.environ, "CHRONOPROF_URL": sidecar.url, "CHRONOPROF_API_KEY": KEY, "TERM": "xterm"}
    program = (
        "import sys; from chronoprof_sidecar.cli import progress; progress.DELAY_SECONDS = 0.0;"
        "from chronoprof_sidecar.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "saves", "b.json"]
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=theirs, timeout=30, check=True)
    os.close(theirs)
    assert b"Wrote b.json.\n" == done.stdout
    assert b"Downloading b.json" in os.read(ours, 65536)
    os.close(ours)
