"""One sidecar per data directory.

SQLite locks the file while it is open; this lock also covers what happens before and around that, such as replacing a
damaged file.
"""

import fcntl
import os
from pathlib import Path

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.embedded.directories import refusal
from chronoprof_sidecar.store.embedded.failures import DirectoryInUseError


class DirectoryLock:
    """A lock on a directory, which the system takes back when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            StoreError: another process has it, or the directory cannot be opened.
        """
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(refusal("data", path, error)) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise DirectoryInUseError(f"another sidecar uses {path}; give this one its own data directory") from None
        except OSError:
            pass  # a file system without such locks; there SQLite's own has to do

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
