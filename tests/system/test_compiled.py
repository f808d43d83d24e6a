"""The loops over buckets as the image compiles them: they do what the sources say that they are made from."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.system.compiled import MODULES, SHOW_FILES
from tests.system.image import ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

SUITES = ("tests/domain", "tests/wire", "tests/store")
"""The tests of what is compiled, and of what stands on it."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that holds the compiled package."""
    directory = tmp_path_factory.mktemp("compiled")
    # By way of a source distribution, since what is compiled is left beside its source.
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(build, env={**os.environ, "HATCH_BUILD_HOOKS_ENABLE": "true"}, timeout=300, check=True)
    (wheel,) = directory.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(directory)
    return directory


def run_python(package: Path, *arguments: str) -> str:
    """Run Python with the compiled package before the sources, and return what it printed."""
    environ = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": f"{package}:{ROOT}"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


def test_compiled_code_needs_python_alone(package: Path) -> None:
    """The compiled modules load where no other package is installed."""
    found = [Path(file) for file in run_python(package, "-S", "-c", SHOW_FILES).split()]
    assert [(package, ".so")] * len(MODULES) == [(path.parents[2], path.suffix) for path in found]


def test_compiled_code_passes_the_tests_of_its_sources(package: Path) -> None:
    """Every test of histograms, batches and both stores passes on the compiled package, too."""
    options = ("-p", "tests.system.compiled", "-p", "no:cacheprovider", "--override-ini=pythonpath=", "-q", "-n", "2")
    assert " passed" in run_python(package, "-m", "pytest", *options, *SUITES).splitlines()[-1]
