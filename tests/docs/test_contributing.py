"""CONTRIBUTING.md: the example of a test is one, and the map is that of the house."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, files_of, read_page
from tests.test_architecture import MAY_IMPORT

PAGE = read_page("CONTRIBUTING.md")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of what a newcomer has cloned, to be changed."""
    for name in ("chronoprof_sidecar", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(command: str, tree: Path) -> "subprocess.CompletedProcess[str]":
    """Run a line of the page in a tree, with the Python that runs this and only the plugins that it takes."""
    line = command.replace(".venv/bin/python", sys.executable)
    options = "-p pytest_asyncio.plugin -p pytest_timeout -k 'shows or repeated'"
    environ = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": options}
    return subprocess.run(
        ["bash", "-c", line], cwd=tree, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_exercise_is_red_and_then_green(tree: Path) -> None:
    """Pasted line by line, the change breaks the test that the page names, and the changed test holds it."""
    change, first, change_test, second = (run(line, tree) for line in files_of(PAGE)["exercise.sh"].splitlines())
    assert (0, 1, 0, 0) == (change.returncode, first.returncode, change_test.returncode, second.returncode)
    assert "ENDPOINT" in first.stdout
    assert " failed" in first.stdout


def test_the_example_of_a_test_passes(tree: Path) -> None:
    """What a newcomer copies works, where the page says to save it."""
    (tree / "tests" / "process" / "test_repeated.py").write_text(files_of(PAGE)["test_repeated.py"])
    done = run(".venv/bin/python -m pytest tests/process/test_repeated.py", tree)
    assert 0 == done.returncode, done.stdout
    assert "1 passed" in done.stdout


def test_every_part_is_on_the_map() -> None:
    """Each part of the package that has rules of import has its row, and every file named exists."""
    section = PAGE.partition("## Where things are")[2].partition("\n## ")[0]
    rows = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    on_map = {name.removesuffix(".py").rstrip("/") for name in re.findall(r"`([^`]+)`", rows)}
    not_parts = {"", "__main__", "setting_values", "env_file"}
    assert set(MAY_IMPORT) - not_parts == on_map
    for path in re.findall(r"`((?:client|server|wire|store)/[\w/]+\.\w+)`", PAGE):
        assert (ROOT / "chronoprof_sidecar" / path).is_file(), path


def test_every_target_exists() -> None:
    """A newcomer is told of no target that the Makefile does not have."""
    makefile = read_page("Makefile")
    for page in ("CONTRIBUTING.md", "README.md"):
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", read_page(page), re.MULTILINE):
            assert re.search(rf"^{target}:.*", makefile, re.MULTILINE), f"{page}: make {target}"
