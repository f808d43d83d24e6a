"""Directories that no power cut takes away again.

A synced file in a directory whose own entry never reached the disk is lost with it (fsync(2), NOTES).
"""

import errno
import os
from contextlib import suppress
from pathlib import Path


def make_directory(path: Path) -> None:
    """Make a directory for nobody else, and what is missing above it, and sync their entries.

    Raises:
        OSError: it cannot be made, or this user may not write it.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for made in missing:
        with suppress(PermissionError):  # one may be allowed to write a directory and not to open it
            sync_directory(made.parent)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "it may not be written")


def refusal(purpose: str, path: Path, error: OSError) -> str:
    """Return what to tell an operator whose `data` or `save` directory cannot be used."""
    return (
        f"cannot use the {purpose} directory {path}: {error.strerror}; CHRONOPROF_{purpose.upper()}_DIR must name a"
        f" directory that user {os.geteuid()} may write"
    )


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
