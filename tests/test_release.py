"""The rules of a release: what is whole passes, and each thing that is not is named."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from chronoprof_sidecar import __version__
from tests.release import (
    NAME,
    ROOT,
    judge_changelog,
    judge_distributions,
    judge_files,
    judge_tags,
    judge_version,
)

CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-11-27\n\n- New.\n\n## [1.1.0] - 2026-01-01\n\n- Old.\n"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with what `make build` builds."""
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    subprocess.run(command, capture_output=True, timeout=110, check=True)
    return directory


def test_what_is_built_may_be_published(dist: Path) -> None:
    """Wheel and source distribution of this tree are whole, of this version, and twine finds nothing."""
    assert [] == [*judge_version(__version__), *judge_distributions(ROOT, dist, __version__)]
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    subprocess.run(command, capture_output=True, timeout=60, check=True)


def test_the_version_stands_in_one_place() -> None:
    """No page, manifest or image names the version, so that no release leaves an old one behind."""
    assert [] == list(judge_files(ROOT, __version__))


def test_a_second_place_of_the_version_is_named(tmp_path: Path) -> None:
    """A page that quotes the version is a fault; one that quotes a longer number is not."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("image: chronoprof-sidecar:1.2.0")
    (tmp_path / "docs" / "b.md").write_text("listen on 1.2.0.1, needs 11.2.0")
    assert ["docs/a.md names 1.2.0: __version__ is its only place"] == list(judge_files(tmp_path, "1.2.0"))


@pytest.mark.parametrize("version", ["1.2", "1.2.0.dev1", "v1.2.0", "1.2.0-rc1", "1.2.0+local", ""])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    """Only what every index sorts in the same way is a release."""
    assert 1 == len(list(judge_version(version)))


@pytest.mark.parametrize("version", ["1.2.0", "10.0.12", "1.2.0rc1"])
def test_a_version_is_taken(version: str) -> None:
    """Releases and their candidates pass."""
    assert [] == list(judge_version(version))


@pytest.mark.parametrize(
    ("changelog", "fault"),
    [
        (CHANGELOG, None),
        (CHANGELOG.replace("1.2.0", "1.3.0"), "no section"),
        (CHANGELOG.replace(" - 2026-11-27", ""), "no date"),
        (CHANGELOG.replace("- New.\n", ""), "says nothing"),
        (CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"), "still has"),
        (CHANGELOG.replace("1.1.0", "1.0.0").replace("1.2.0", "1.1.0").replace("1.0.0", "1.2.0"), "first section"),
    ],
)
def test_the_changelog_is_cut(changelog: str, fault: str | None) -> None:
    """The version's section is the newest, is dated, says something, and took all that was unreleased."""
    faults = list(judge_changelog(changelog, "1.2.0"))
    assert (fault is None) == (not faults)
    assert fault is None or fault in faults[0]


@pytest.mark.parametrize(
    ("here", "everywhere", "faults"),
    [
        ([], [], 0),
        (["v1.2.0"], ["v1.1.0", "v1.2.0"], 0),
        (["1.2.0"], ["1.2.0"], 1),
        (["v1.1.0"], ["v1.1.0"], 1),
        ([], ["v1.2.0"], 1),
    ],
)
def test_a_version_is_tagged_once(here: list[str], everywhere: list[str], faults: int) -> None:
    """A tag is `v` and the version, on the commit that says so."""
    assert faults == len(list(judge_tags(here, everywhere, "1.2.0")))


@pytest.mark.parametrize(
    ("member", "change", "fault"),
    [
        ("py.typed", None, "lacks chronoprof_sidecar/py.typed"),
        ("client/__init__.py", None, "lacks chronoprof_sidecar/client/__init__.py"),
        ("METADATA", (b"Provides-Extra: server", b"Requires-Dist: six\nProvides-Extra: server"), "requires six"),
        ("METADATA", (b"License-Expression: Apache-2.0", b"License-Expression: MIT"), "License-Expression: MIT"),
        ("METADATA", (f"Version: {__version__}".encode(), b"Version: 0"), "Version: 0"),
        ("entry_points.txt", (b"chronoprof =", b"chrono ="), "does not install the command"),
    ],
)
def test_a_wheel_that_is_not_whole_is_named(
    dist: Path, tmp_path: Path, member: str, change: tuple[bytes, bytes] | None, fault: str
) -> None:
    """A wheel that lacks a file, or says something else of itself, is not published."""
    for path in dist.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    wheel = tmp_path / f"{NAME}-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(dist / wheel.name) as whole, zipfile.ZipFile(wheel, "w") as part:
        for name in whole.namelist():
            content = whole.read(name)
            if name.endswith(f"/{member}"):
                if change is None:
                    continue
                assert change[0] in content
                content = content.replace(*change, 1)
            part.writestr(name, content)
    assert fault in " ".join(judge_distributions(ROOT, tmp_path, __version__))


@pytest.mark.parametrize("name", ["Makefile", "docs/wire.md", "docs/page.png"])
def test_a_source_distribution_that_is_not_whole_is_named(dist: Path, tmp_path: Path, name: str) -> None:
    """Whatever the README links to is in the source distribution: on an index its links lead nowhere."""
    for path in dist.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    source = tmp_path / f"{NAME}-{__version__}.tar.gz"
    with tarfile.open(dist / source.name) as whole, tarfile.open(source, "w:gz") as part:
        for member in whole.getmembers():
            if not member.name.endswith(f"/{name}"):
                part.addfile(member, whole.extractfile(member))
    assert [f"{source.name} lacks {name}"] == list(judge_distributions(ROOT, tmp_path, __version__))


def test_a_release_is_cut_once(tmp_path: Path) -> None:
    """`make release` writes version and changelog as the rules want them, and refuses a version that is out."""
    (tmp_path / NAME).mkdir()
    module, changelog = tmp_path / NAME / "__init__.py", tmp_path / "CHANGELOG.md"
    module.write_text('"""A package."""\n\n__version__ = "1.2.0"\n')
    changelog.write_text(CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n"))
    for version, code in (("1.3.0", 0), ("1.3.0", 2), ("1.2.0", 2), ("", 2)):
        command = ["make", "--silent", "-C", str(tmp_path), "-f", f"{ROOT}/Makefile", "release", f"VERSION={version}"]
        assert code == subprocess.run(command, capture_output=True, timeout=30, check=False).returncode
    assert module.read_text() == '"""A package."""\n\n__version__ = "1.3.0"\n'
    assert [] == list(judge_changelog(changelog.read_text(), "1.3.0"))
    assert "- More.\n\n## [1.2.0]" in changelog.read_text()


def test_another_versions_files_are_refused(dist: Path) -> None:
    """What an earlier build left in dist/ is not published under a new version."""
    (fault,) = judge_distributions(ROOT, dist, "9.9.9")
    assert "wanted are chronoprof_sidecar-9.9.9" in fault
