"""What a benchmark ran on: without it, a figure means nothing."""

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count
from pathlib import Path

from chronoprof_sidecar.domain import histogram


def describe_machine(packages: Iterable[str]) -> str:
    """Return processor, Python, and the versions of the packages that are installed."""
    versions = ", ".join(f"{package} {found}" for package in packages if (found := find_version(package)))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{_processor()}, {cpu_count()} cores, {python}\n{versions}"


def describe_loops() -> str:
    """Return whether the loops over buckets are compiled, as in the image, or interpreted, as in the wheel."""
    return f"loops over buckets: {'interpreted' if Path(histogram.__file__).suffix == '.py' else 'compiled'}"


def find_version(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
