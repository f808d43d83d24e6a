"""README.md: its Python example, and that it stays short."""

import re
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import read_page, write_files
from tests.process.sidecar import Sidecar


def test_the_python_example_works(sidecar: Sidecar, tmp_path: Path) -> None:
    """The instrumented example counts under the names that it says."""
    write_files(read_page("README.md"), tmp_path)
    subprocess.run(
        [sys.executable, "-c", "import shop"], cwd=tmp_path, env=sidecar.app_environ(), timeout=30, check=True
    )
    assert {"shop.checkout": 1, "checkout.load_prices": 1} == sidecar.calls()


def test_the_readme_is_short() -> None:
    """Whoever opens it can read all of it: what is longer has a page in docs/."""
    assert len(read_page("README.md").splitlines()) < 220


def test_the_costs_are_those_of_their_page() -> None:
    """Every figure of the short table stands in docs/costs.md, where it says how it was measured."""
    section = read_page("README.md").partition("\n## What it costs\n")[2].partition("\n## ")[0]
    figures = re.findall(r"\d+(?:\.\d+)?", " ".join(line for line in section.splitlines() if line.startswith("| ")))
    assert len(figures) > 10
    assert set(figures) <= set(re.findall(r"\d+(?:\.\d+)?", read_page("docs/costs.md")))
