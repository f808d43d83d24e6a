"""Directories that the sidecar cannot use: it says so at once and ends, and leaves everything as it was."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.sidecar import DEADLINE_SECONDS, Sidecar
from tests.proof import Proof
from tests.scale import scaled

GOAL_SECONDS = 1.0
FOREIGN_USER = 65534
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
"""Root without its privileges: permissions hold for it as for anybody else."""


def read_only(data: Path) -> None:
    """Prepare a directory that may be read alone."""
    data.mkdir(mode=0o500)


def under_read_only(data: Path) -> None:
    """Prepare a directory in which the one asked for cannot be made."""
    data.parent.mkdir(mode=0o500)


def used_before_and_read_only(data: Path) -> None:
    """Prepare a store that has become read-only."""
    data.mkdir()
    (data / "chronoprof.db").touch()
    data.chmod(0o500)


def foreign(data: Path) -> None:
    """Prepare a directory of somebody else, for nobody else."""
    data.mkdir(mode=0o700)
    os.chown(data, FOREIGN_USER, FOREIGN_USER)


def foreign_file(data: Path) -> None:
    """Prepare a directory in which somebody else, root perhaps, has run a sidecar before."""
    data.mkdir()
    (data / "chronoprof.db").touch(mode=0o600)
    os.chown(data / "chronoprof.db", FOREIGN_USER, FOREIGN_USER)


def file_in_its_place(data: Path) -> None:
    """Prepare a file that has the directory's name."""
    data.write_text("not a directory")


def file_in_place_of_saves(data: Path) -> None:
    """Prepare a file that has the name of the directory for saves."""
    data.mkdir()
    (data / "saves").write_text("not a directory")


def read_only_saves(data: Path) -> None:
    """Prepare a directory for saves that may be read alone."""
    data.mkdir()
    (data / "saves").mkdir(mode=0o500)


def refused(sidecar: Sidecar, proof: Proof) -> str:
    """Start a sidecar that is to be refused, and return the one line that it said."""
    began, used_before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    status = sidecar.start(wait=False).process.wait(DEADLINE_SECONDS)
    seconds, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    computing_seconds = used.ru_utime + used.ru_stime - used_before.ru_utime - used_before.ru_stime
    (line,) = sidecar.log().splitlines()
    # The rest is what other processes took from it; nearly all that is computed is Python's imports.
    proof.reached(
        "refused", f"after {seconds:.1f} s, {computing_seconds:.1f} s of it its own", goal=f"{GOAL_SECONDS:g} s"
    )
    proof.reached("with", line.replace(str(sidecar.directory.parent), "…"))
    assert 1 == status
    return line


def contents(directory: Path) -> list[tuple[str, int]]:
    """Return names and sizes of all that is there but the log."""
    return sorted((str(each), each.lstat().st_size) for each in directory.rglob("*") if each.suffix != ".log")


NEEDS_ROOT = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")]
DATA, SAVES = "CHRONOPROF_DATA_DIR must", "CHRONOPROF_SAVE_DIR must"


CASES = [
    (read_only, DATA),
    (file_in_its_place, DATA),
    (read_only_saves, SAVES),
    pytest.param(foreign, DATA, marks=NEEDS_ROOT),
    (under_read_only, DATA),
    (used_before_and_read_only, DATA),
    (file_in_place_of_saves, SAVES),
    pytest.param(foreign_file, DATA, marks=NEEDS_ROOT),
]


@pytest.mark.parametrize(("prepare", "advice"), CASES[: scaled(4, full=len(CASES))])
def test_a_directory_that_cannot_be_used(
    tmp_path: Path, prepare: Callable[[Path], None], advice: str, proof: Proof
) -> None:
    """A directory that cannot be used is refused at once, in one line that says which setting to change, and kept."""
    data = tmp_path / "above" / "data" if prepare is under_read_only else tmp_path / "data"
    prepare(data)
    before = contents(tmp_path)
    sidecar = Sidecar(tmp_path / "sidecar", prefix=UNPRIVILEGED, CHRONOPROF_DATA_DIR=str(data))
    line = refused(sidecar, proof)
    assert line.startswith("chronoprof: cannot ")
    assert str(data) in line
    assert advice in line
    assert set(before) <= set(contents(tmp_path))


def test_a_second_sidecar(sidecar: Sidecar, tmp_path: Path, proof: Proof) -> None:
    """A second sidecar on one directory is refused at once, in one line, and the first goes on undisturbed."""
    data = sidecar.directory / "data"
    line = refused(Sidecar(tmp_path / "second", CHRONOPROF_DATA_DIR=str(data)), proof)
    assert line.startswith("chronoprof: another sidecar uses ")
    assert "give this one its own data directory" in line
    status, _ = sidecar.request("POST", "/api/v1/profiling/ingest", {"durations": {"f": [0.1]}})
    assert (200, {"f": 1}) == (status, sidecar.calls())
    assert sidecar.stop() == 0
