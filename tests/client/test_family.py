"""What several processes would complain about is said by one of them."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from chronoprof_sidecar.client.family import ROOT_VARIABLE, Family

ELSEWHERE = {ROOT_VARIABLE: f"{os.getppid()}-token"}
"""The environment of a process that another one has started."""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the processes of these tests leave their files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_first_process_is_the_root() -> None:
    """It leaves its number in the environment, by which its descendants know that they are not."""
    environ: dict[str, str] = {}

    assert Family(environ).is_root
    assert Family(environ).is_root
    code = f"from {Family.__module__} import Family; print(Family().is_root)"
    answer = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environ}, capture_output=True, check=True
    )
    assert b"False" == answer.stdout.strip()


def test_of_all_processes_one_complains(files: Path) -> None:
    """A complaint is made once, also where the others have no memory in common with the one that made it."""
    first, second = Family(dict(ELSEWHERE)), Family(dict(ELSEWHERE))

    assert [True, False, False] == [first.may_complain(0), first.may_complain(0), second.may_complain(0)]
    assert second.may_complain(1)


def test_nobody_complains_of_what_another_one_settled(files: Path) -> None:
    """What matched in one process has matched."""
    first, second = Family(dict(ELSEWHERE)), Family(dict(ELSEWHERE))
    first.settle(0)
    second.settle(0)

    assert not second.may_complain(0)


def test_the_root_learns_what_nobody_settled_and_leaves_nothing_behind(files: Path) -> None:
    """Settled by the root, by a descendant, complained of, or none of these: the last is what is left to say."""
    environ: dict[str, str] = {}
    root = Family(environ)
    token = environ[ROOT_VARIABLE].partition("-")[2]
    descendant = Family({ROOT_VARIABLE: f"{os.getppid()}-{token}"})
    root.settle(0)
    descendant.settle(1)
    assert root.may_complain(2)

    assert [3] == root.part(4)
    assert [] == list(files.iterdir())


def test_the_root_alone_makes_no_files(files: Path) -> None:
    """A process that is killed leaves nothing behind either, if all was well."""
    Family({}).settle(0)

    assert [] == list(files.iterdir())


@pytest.mark.parametrize("tempdir", ["/proc/nowhere", None])
def test_without_a_place_for_files_a_complaint_is_made_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tempdir: str | None
) -> None:
    """Better twice than never, and nothing is raised, also where no directory at all will do."""
    monkeypatch.setattr(tempfile, "tempdir", tempdir)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])

    assert Family(dict(ELSEWHERE)).may_complain(0)
    assert [0] == Family({}).part(1)
