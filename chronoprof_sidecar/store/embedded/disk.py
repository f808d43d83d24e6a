"""The disk under the store: whether there is room to write, said in the log when that changes."""

import logging
import os
from pathlib import Path
from typing import Final

from chronoprof_sidecar.errors import UnavailableError

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS: Final = 2
"""What senders are asked to wait; little, so that those who do are back within seconds once there is space again."""
_TELLING_BYTES: Final = 16 * 1024 * 1024
"""With more than that free, a write that finds no room tells of a quota or of a file system that counts otherwise."""
_NEVER: Final = -1
_ALMOST_FULL: Final = "the disk is almost full (CHRONOPROF_MIN_FREE_BYTES)"
_FULL: Final = "the disk is full"


class Disk:
    """What one directory's disk has room for. The thread that writes notes how it went; any thread may ask."""

    def __init__(self, directory: Path, min_free_bytes: int) -> None:
        self._directory = directory
        self._min_free_bytes = min_free_bytes
        self._reported = False
        self._failed_at_bytes = _NEVER

    def full_reason(self) -> str | None:
        """Say why a batch would be refused now; None when it would not."""
        free_bytes = self._free_bytes()
        if free_bytes < self._min_free_bytes:
            return _ALMOST_FULL
        return _FULL if free_bytes <= self._failed_at_bytes else None

    def refuse_almost_full(self) -> None:
        """Refuse to begin writing where too little is free.

        Raises:
            UnavailableError: it is.
        """
        if self._free_bytes() < self._min_free_bytes:
            raise self._report(_ALMOST_FULL)

    def note_full(self) -> UnavailableError:
        """Note that there was no room for what was to be written, and return the error that says so."""
        free_bytes = self._free_bytes()
        self._failed_at_bytes = free_bytes if free_bytes <= _TELLING_BYTES else _NEVER
        return self._report(_FULL)

    def note_written(self) -> None:
        """Note that there was room."""
        self._failed_at_bytes = _NEVER
        if self._reported:
            self._reported = False
            logger.warning("the disk has room again: batches are taken")

    def _report(self, reason: str) -> UnavailableError:
        if not self._reported:
            self._reported = True
            logger.error("%s: batches are refused until there is room, and their senders keep them", reason)
        return UnavailableError(reason, RETRY_AFTER_SECONDS)

    def _free_bytes(self) -> int:
        disk = os.statvfs(self._directory)
        return disk.f_bavail * disk.f_frsize
