"""`make release-check`: whether what lies in dist/ may be published under the version that the package says.

Owns the rules of a release and one sentence for each that is broken. Must not build, tag or publish anything.
"""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from chronoprof_sidecar import __version__

ROOT = Path(__file__).parents[1]
NAME = "chronoprof_sidecar"
SHIPPED_SOURCES = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "pyproject.toml",
)
WITHOUT_VERSION = ("Dockerfile", "docker-compose.yml", "pyproject.toml", "README.md", "config", "docs")
"""What a release need not touch: `__version__` is the only place of the version."""

# PEP 440 in its normal form, without epochs, local versions and development releases, which are not published.
_VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
_LINKED_FILE = re.compile(r"\]\(([^)#:\s]+)[)#]")
_SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def judge_version(version: str) -> Iterator[str]:
    """Yield what is wrong with a version."""
    if not _VERSION.fullmatch(version):
        yield f"__version__ is {version!r}: a release is X.Y.Z, or X.Y.ZaN, bN, rcN before it"


def judge_changelog(changelog: str, version: str) -> Iterator[str]:
    """Yield what is wrong with the changelog: the version's section is the newest, dated, and says something."""
    sections = {found[1]: (found[2], found.end()) for found in _SECTION.finditer(changelog)}
    names = list(sections)
    if version not in sections:
        yield f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`"
        return
    date, begin = sections[version]
    if names[:2] != ["Unreleased", version]:
        yield f"CHANGELOG.md: [{version}] must be the first section after [Unreleased]"
    if not date:
        yield f"CHANGELOG.md: [{version}] has no date"
    if not _text_from(changelog, begin):
        yield f"CHANGELOG.md: [{version}] says nothing"
    if "Unreleased" in sections and _text_from(changelog, sections["Unreleased"][1]):
        yield f"CHANGELOG.md: [Unreleased] still has what belongs to [{version}]"


def judge_tags(tags_here: list[str], all_tags: list[str], version: str) -> Iterator[str]:
    """Yield what is wrong with the tags: a release is tagged `v` and its version, once."""
    wanted = f"v{version}"
    for tag in tags_here:
        if tag != wanted:
            yield f"this commit is tagged {tag}; {version} is tagged {wanted}"
    if wanted in all_tags and wanted not in tags_here:
        yield f"{wanted} is another commit: this version is out, raise __version__"


def judge_files(root: Path, version: str) -> Iterator[str]:
    """Yield the files that name the version, and so would have to be changed by hand for each release."""
    named = re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d.]*\d)")
    files = (file for name in WITHOUT_VERSION for file in (root / name, *(root / name).rglob("*")) if file.is_file())
    for file in sorted(files):
        if named.search(file.read_text(encoding="utf-8", errors="replace")):
            yield f"{file.relative_to(root)} names {version}: __version__ is its only place"


def judge_distributions(root: Path, dist: Path, version: str) -> Iterator[str]:
    """Yield what is wrong with the files in `dist`: one wheel, one source distribution, whole and of this version."""
    wheel, source = dist / f"{NAME}-{version}-py3-none-any.whl", dist / f"{NAME}-{version}.tar.gz"
    found = sorted(path.name for path in dist.iterdir())
    if found != sorted([wheel.name, source.name]):
        yield f"{dist.name}/ holds {', '.join(found) or 'nothing'}; wanted are {wheel.name} and {source.name}"
        return
    yield from _judge_wheel(root, wheel, version)
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    # An index shows the README without what it links to, which is found here.
    linked = _LINKED_FILE.findall((root / "README.md").read_text(encoding="utf-8"))
    for name in sorted({*SHIPPED_SOURCES, *linked} - names):
        yield f"{source.name} lacks {name}"


def _judge_wheel(root: Path, wheel: Path, version: str) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        information = f"{NAME}-{version}.dist-info"
        metadata = email.message_from_bytes(archive.read(f"{information}/METADATA"))
        scripts = archive.read(f"{information}/entry_points.txt").decode()
    package = (path for path in (root / NAME).rglob("*") if path.is_file() and path.suffix != ".pyc")
    wanted = {str(path.relative_to(root)) for path in package}
    code = {name for name in held if not name.startswith(information)}
    for name in sorted(wanted ^ code):
        yield f"{wheel.name} {'lacks' if name in wanted else 'has a stray'} {name}"
    if f"{NAME}/py.typed" not in held:
        yield f"{wheel.name} lacks py.typed"
    if f"chronoprof = {NAME}.cli.main:main" not in scripts:
        yield f"{wheel.name} does not install the command chronoprof"
    yield from _judge_metadata(metadata, version)


def _judge_metadata(metadata: Message, version: str) -> Iterator[str]:
    wanted = {"Name": "chronoprof-sidecar", "Version": version, "License-Expression": "Apache-2.0"}
    for field, value in wanted.items():
        if metadata[field] != value:
            yield f"the metadata says {field}: {metadata[field]}, not {value}"
    for field in ("Summary", "Requires-Python", "Description-Content-Type"):
        if not metadata[field]:
            yield f"the metadata has no {field}"
    for requirement in metadata.get_all("Requires-Dist", []):
        if "extra ==" not in requirement:
            yield f"the shim is the standard library alone, but the wheel requires {requirement}"


def _text_from(changelog: str, begin: int) -> str:
    return re.split(r"^## ", changelog[begin:], maxsplit=1, flags=re.MULTILINE)[0].strip()


def _git(*arguments: str) -> list[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()


def main() -> int:
    """Print every rule that is broken, and return 1 if any is."""
    faults = [
        *judge_version(__version__),
        *judge_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), __version__),
        *judge_tags(_git("tag", "--points-at", "HEAD", "v*"), _git("tag", "--list", "v*"), __version__),
        *judge_files(ROOT, __version__),
        *judge_distributions(ROOT, ROOT / "dist", __version__),
    ]
    for fault in faults:
        print(f"not ready: {fault}", file=sys.stderr)
    if not faults:
        print(f"{__version__} is ready: tag this commit v{__version__} and publish dist/")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
