"""Builds the image by the Dockerfile's own steps, without Docker: `python -m tests.system.building`, as root.

The base image is a Debian of debootstrap's with Python where the official image has it, under the official name, so
that no registry of images is needed. All is kept in `.image/`; the base is made once.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.system.image import ROOT, Image

IMAGE: Final = "chronoprof-sidecar"
_DIRECTORY: Final = ROOT / ".image"
_CERTIFICATES: Final = "/etc/ssl/certs"
"""This machine's, for building alone: it may reach the package index through a proxy that it trusts."""


def main() -> None:
    """Build the base if there is none of these packages, then the image, and say how large it is."""
    _DIRECTORY.mkdir(exist_ok=True)
    _policy().write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
    base, python, suite = read_base()
    packages = f"ca-certificates,python{python},python3,python3-dev,python3-venv"
    recipe, made_of = _DIRECTORY / "base.txt", f"{base} {packages}"
    if not recipe.exists() or recipe.read_text() != made_of:
        _build_base(base, packages, suite)
        recipe.write_text(made_of)
    options = ["--isolation=chroot", "--network=host", "--format=docker", f"--signature-policy={_policy()}"]
    mounts = [f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro"]
    _buildah("bud", "--pull-never", *options, *mounts, "--tag", IMAGE, str(ROOT))
    _buildah("rmi", "--prune", "--force", capture=True)  # the image of the run before
    sizes = {name: size_of(name) / 2**20 for name in (IMAGE, base)}
    print(  # noqa: T201  a command
        f"{IMAGE}: {sizes[IMAGE]:.0f} MiB, {sizes[IMAGE] - sizes[base]:.0f} MiB of them on top of the base image"
    )


def read_base() -> tuple[str, str, str]:
    """Return the name of the base image, its Python's minor version and its Debian's release."""
    found = re.search(r"^FROM (python:(3\.\d+)-slim-(\w+)) AS", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    return f"docker.io/library/{found[1]}", found[2], found[3]


def size_of(name: str) -> int:
    """Return the size of an image in bytes, its base included."""
    with mounted(name) as root:
        counted = subprocess.run(["du", "-sb", root], capture_output=True, check=True, timeout=60).stdout
        return int(counted.split()[0])


def read_built() -> Image:
    """Return the metadata that the built image carries."""
    inspected: dict[str, Any] = json.loads(_buildah("inspect", "--type=image", IMAGE, capture=True))
    config = inspected["Docker"]["config"]
    return Image(
        environ=dict(pair.split("=", 1) for pair in config["Env"]),
        entrypoint=config["Entrypoint"],
        command=config["Cmd"],
        healthcheck=config["Healthcheck"]["Test"][1:],
        volumes=list(config["Volumes"]),
        user=config["User"],
        stop_signal=config["StopSignal"],
    )


@contextmanager
def mounted(name: str) -> Iterator[Path]:
    """Have the root directory of an image mounted inside the block."""
    container = _buildah("from", "--pull-never", f"--signature-policy={_policy()}", name, capture=True)
    try:
        yield Path(_buildah("mount", container, capture=True))
    finally:
        _buildah("rm", container, capture=True)


def _build_base(base: str, packages: str, suite: str) -> None:
    root = _DIRECTORY / "base"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", suite, root], check=True)
    # As in the official image, Python and pip are in /usr/local; Debian's own pip would mix in packages of Debian's.
    subprocess.run(["chroot", root, "/usr/bin/python3", "-m", "venv", "/usr/local"], check=True)
    for cache in ("var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / cache)
    container = _buildah("from", "scratch", capture=True)
    _buildah("add", container, str(root), "/", capture=True)
    _buildah("commit", "--format=docker", f"--signature-policy={_policy()}", "--rm", container, base)
    shutil.rmtree(root)


def _policy() -> Path:
    return _DIRECTORY / "policy.json"


def _buildah(*arguments: str, capture: bool = False) -> str:
    """Run buildah on the storage in `.image/`, and return what it printed if that is captured."""
    storage = [f"--root={_DIRECTORY / 'storage'}", f"--runroot={_DIRECTORY / 'run'}", "--storage-driver=vfs"]
    done = subprocess.run(
        ["buildah", *storage, *arguments], stdout=subprocess.PIPE if capture else None, text=True, check=True
    )
    return done.stdout.strip() if capture else ""


if __name__ == "__main__":
    main()
