"""The systemd unit: systemd understands it, calls it hardened, and what the sidecar does is within what it allows."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from chronoprof_sidecar.protocol import API_PREFIX
from tests.process.sidecar import Sidecar, wait_until
from tests.system.image import ROOT

pytestmark = pytest.mark.system

UNIT = ROOT / "config" / "systemd" / "chronoprof.service"
EXPOSURE_AT_MOST = 15
"""In tenths of systemd's own scale, on which 100 is a service without any protection."""
AS_ROOT = {"fchown"} if os.geteuid() == 0 else set[str]()
"""What SQLite calls where it runs as root, which it does not under the unit (os_unix.c, robustFchown)."""
WRITABLE_AND_EXECUTABLE = re.compile(r"PROT_WRITE\|PROT_EXEC|mprotect\(.*PROT_EXEC")


def analyze(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Return what `systemd-analyze` said."""
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def calls_in(name: str) -> set[str]:
    """Return the system calls of a set of systemd's, those of the sets in it included."""
    listed = re.findall(r"^    ([@\w-]+)$", analyze("syscall-filter", name).stdout, re.MULTILINE)
    assert listed
    return set().union(*(calls_in(each) if each.startswith("@") else {each} for each in listed))


def allowed_calls() -> set[str]:
    """Return the system calls that the unit's filters leave; what systemd always allows is part of them."""
    allowed = calls_in("@default")
    for words in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        names = words.removeprefix("~").split()
        named = set().union(*map(calls_in, names))
        allowed = allowed - named if words.startswith("~") else allowed | named
    return allowed


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return the unit with a program that is here."""
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/chronoprof/bin/chronoprof", "/bin/true"))
    return copy


def test_systemd_understands_the_unit(unit: Path) -> None:
    """Not a word of it is unknown, misspelled or in the wrong section."""
    done = analyze("verify", unit)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_systemd_calls_the_unit_hardened(unit: Path) -> None:
    """What it leaves open is at most 1.5 of 10 by systemd's own reckoning."""
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_AT_MOST}", unit)
    assert 0 == done.returncode, done.stdout[-300:]


def test_the_sidecar_keeps_to_what_the_unit_allows(tmp_path: Path) -> None:
    """From start to end each system call is in the filter, no memory is writable and executable, no socket foreign."""
    log = tmp_path / "calls.log"
    trace = ["strace", "--daemonize", "--follow-forks", f"--output={log}"]
    sidecar = Sidecar(tmp_path / "sidecar", prefix=trace).start()
    try:
        assert 200 == sidecar.request("POST", f"{API_PREFIX}/ingest", {"durations": {"work": [0.5]}})[0]
        for path in ("save?file_path=a.json", "rotate?file_path=b.json"):
            assert 200 == sidecar.request("POST", f"{API_PREFIX}/{path}")[0]
        for path in ("data", "data?since=1h", "history", "senders", "saves", "compare?base=a.json&head=live"):
            assert 200 == sidecar.request("GET", f"{API_PREFIX}/{path}")[0]
        sidecar.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP" in log.read_text(errors="replace"), "the signal")
        assert 0 == sidecar.stop()
    finally:
        sidecar.close()
    wait_until(lambda: "+++ exited with 0 +++" in log.read_text(errors="replace"), "the last line of strace")
    lines = log.read_text(errors="replace")
    made = set(re.findall(r"^\d+ +(\w+)\(", lines, re.MULTILINE))
    assert {"fdatasync", "accept4"} & made
    assert set() == made - allowed_calls() - AS_ROOT
    assert not WRITABLE_AND_EXECUTABLE.search(lines)
    assert {"AF_INET", "AF_INET6", "AF_UNIX"} >= set(re.findall(r" socket\((\w+)", lines))
