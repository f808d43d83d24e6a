"""Disks that run full: a small one of one's own, and files that take up room."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import Final

_MIB: Final = 1024 * 1024


@contextmanager
def small_disk(mount_point: Path, size_mib: int) -> Iterator[Path]:
    """Mount an empty file system of that size inside the block; needs root."""
    mount_point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", mount_point], check=True)
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "--lazy", mount_point], check=True)


class Ballast:
    """A file that is in the way."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        """Take all the room that is left, to the last byte."""
        with self._path.open("wb", buffering=0) as file:
            for size in (_MIB, 4096, 1):
                _write_until_full(file.fileno(), bytes(size))

    def take(self, size_mib: int) -> None:
        """Take that much room, without writing it where the file system knows how to."""
        with self._path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size_mib * _MIB)

    def release(self) -> None:
        """Give the room back."""
        self._path.unlink(missing_ok=True)


def free_mib(path: Path) -> int:
    """Return how much room is left."""
    return shutil.disk_usage(path).free // _MIB


def _write_until_full(descriptor: int, block: bytes) -> None:
    try:
        while True:
            os.write(descriptor, block)
    except OSError as error:
        if error.errno != ENOSPC:
            raise
