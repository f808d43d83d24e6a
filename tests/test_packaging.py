"""What reaches a user: the wheel and what it brings along, and the locks that everything is installed from."""

import json
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "build": [],
    "compile": [],
    "server": ["server", "fleet", "speed"],
    "demo": ["demo", "speed"],
    "dev": ["dev"],
    "bench": ["bench"],
}
"""Each lock in requirements/ and the extras that it is made from."""

HASHED_PIN = re.compile(r"^[a-z0-9-]+==[^ ]+( ; [^\\]+)?( --hash=sha256:[0-9a-f]{64})+$")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once, without a network."""
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(directory), str(ROOT))
    (built,) = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, with all it depends on, into an empty environment that has no index to ask."""
    directory = tmp_path_factory.mktemp("bare")
    venv.create(directory, with_pip=False, symlinks=True)
    python = directory / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", str(python), "install", "--isolated", "--no-index", str(wheel))
    return python


def run(*command: str) -> str:
    """Run a command and return what it printed; show its complaint if it fails."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Data files and `py.typed` travel with the modules, and nothing else does."""
    package = ROOT / "chronoprof_sidecar"
    expected = {str(path.relative_to(ROOT)) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert expected == found
    assert "chronoprof_sidecar/py.typed" in found


def test_a_bare_install_is_one_distribution(bare_python: Path) -> None:
    """An app that installs chronoprof-sidecar gets this one distribution and nothing beside it."""
    (site_packages,) = (bare_python.parents[1] / "lib").glob("python*/site-packages")
    installed = [PathDistribution(path).metadata["Name"] for path in site_packages.glob("*.dist-info")]
    assert ["chronoprof-sidecar"] == installed


@pytest.mark.parametrize("module", ["chronoprof_sidecar.client", "chronoprof_sidecar.client.wsgi"])
def test_the_shim_works_in_a_bare_install(bare_python: Path, module: str) -> None:
    """The client imports where only the bare distribution is installed."""
    run(str(bare_python), "-I", "-c", f"import {module}")


def test_the_command_explains_itself_in_a_bare_install(bare_python: Path) -> None:
    """`chronoprof --help` works without any extra."""
    assert "serve" in run(str(bare_python.with_name("chronoprof")), "--help")


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_release_is_pinned_by_hash(name: str) -> None:
    """A lock holds pins with hashes alone: no index, no address, no path, no option."""
    for line in logical_lines(name):
        assert HASHED_PIN.match(line), line


def test_the_npm_lock_pins_by_hash() -> None:
    """The lock of the peer from npm holds versions and hashes alone: whose registry it is, npm is set up to know."""
    text = (ROOT / "requirements/statsd/package-lock.json").read_text()
    assert "://" not in text
    packages = {name: package for name, package in json.loads(text)["packages"].items() if name}
    assert packages
    assert {"sha512"} == {package["integrity"].partition("-")[0] for package in packages.values()}


@pytest.mark.parametrize("name", LOCKS)
def test_locks_satisfy_the_project(name: str) -> None:
    """What pyproject.toml asks for is in the lock, in a release that it allows; if not, `make lock` is due."""
    pins = [Requirement(line.partition(" --hash")[0]) for line in logical_lines(name)]
    for wanted in wanted_by(name):
        releases = [pin.specifier for pin in pins if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
        assert releases, f"{wanted.name} is missing in requirements/{name}.txt: run `make lock`"
        for release in releases:
            assert wanted.specifier.contains(str(release).removeprefix("==")), (
                f"{wanted} but {release}: run `make lock`"
            )


@pytest.mark.parametrize("name", ["server", "demo", "build", "compile"])
def test_locks_agree_with_the_tested_releases(name: str) -> None:
    """The image runs the very releases that the tests ran."""
    tested = set(logical_lines("dev")) | set(logical_lines("build"))
    assert set() == {line.partition(" ")[0] for line in logical_lines(name)} - {
        line.partition(" ")[0] for line in tested
    }


def logical_lines(name: str) -> Iterator[str]:
    """Yield the requirements of a lock, each with its hashes on one line."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace(" \\\n    ", " ")
    yield from (line for line in text.splitlines() if not line.startswith("#"))


def wanted_by(name: str) -> Iterator[Requirement]:
    """Yield what pyproject.toml asks for under the extras of a lock, the extras within extras followed."""
    pending = list(LOCKS[name])
    if name in PROJECT["dependency-groups"]:
        yield from map(Requirement, PROJECT["dependency-groups"][name] + PROJECT["build-system"]["requires"])
    while pending:
        for text in PROJECT["project"]["optional-dependencies"][pending.pop()]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["project"]["name"]:
                pending.extend(requirement.extras)
            else:
                yield requirement
