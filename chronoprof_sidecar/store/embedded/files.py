"""The save directory: plain files that appear whole or not at all, and nothing outside of it.

Every access goes through a descriptor of the directory and follows no link, so neither a name nor a link swapped in at
the last moment leads elsewhere. Used from one thread only, so that checking for a name and taking it are one step.
"""

import logging
import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from chronoprof_sidecar.domain.snapshot import SaveInfo
from chronoprof_sidecar.domain.windows import EXPORT_ENDING, SAVE_ENDING
from chronoprof_sidecar.errors import (
    FileExistsConflictError,
    MalformedRequestError,
    NotFoundError,
    StoreError,
    UnavailableError,
)
from chronoprof_sidecar.store.embedded.directories import make_directory, refusal
from chronoprof_sidecar.store.embedded.disk import RETRY_AFTER_SECONDS
from chronoprof_sidecar.store.save_rules import SaveLimits, check_save_name, is_save_name

logger = logging.getLogger(__name__)

_TEMPORARY: Final = re.compile(r"\.save-[0-9a-f]{16}\.tmp")
# Somebody may have put a FIFO or a terminal there: neither is waited for, nor does it become ours.
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class SaveDirectory:
    """The files that operators save."""

    def __init__(self, path: Path, limits: SaveLimits) -> None:
        """Open or create the directory.

        Raises:
            StoreError: it cannot be opened or written, or is a link or a file.
        """
        self._limits = limits
        try:
            make_directory(path)
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(refusal("save", path, error)) from error

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._directory)

    def list(self) -> list[SaveInfo]:
        """Return every save, newest first."""
        found = (self._look(name) for name in self._names() if is_save_name(name))
        regular = [info for info in found if info is not None]
        return sorted(regular, key=lambda info: (info.modified_ns, info.name), reverse=True)

    def open(self, name: str) -> tuple[int, SaveInfo]:
        """Return a descriptor of one save, which the caller closes, and what it is.

        Raises:
            MalformedRequestError: not a save's name.
            NotFoundError: no such save.
        """
        check_save_name(name)
        try:
            descriptor = os.open(name, _READ, dir_fd=self._directory)
        except OSError:
            raise NotFoundError(f"there is no save {name}") from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise NotFoundError(f"there is no save {name}")
        return descriptor, SaveInfo(name, status.st_size, status.st_mtime_ns)

    def refuse(self, name: str, *, overwrite: bool) -> None:
        """Refuse a name that may not be written.

        Raises:
            MalformedRequestError: something that is no regular file has the name.
            FileExistsConflictError: the name is taken and `overwrite` is false.
            SavesFullError: the bound on saves is reached.
        """
        try:
            status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            self._limits.refuse_full(self.list())
            return
        if not stat.S_ISREG(status.st_mode):
            raise MalformedRequestError(f"file_path {name} is taken by something that is not a regular file")
        if not overwrite:
            raise FileExistsConflictError(f"{name} exists and is not overwritten")

    def write(self, name: str, content: Iterable[bytes]) -> SaveInfo:
        """Write, sync and publish a save, and return what it is.

        Raises:
            UnavailableError: it could not be written, or given its name; nothing of it stays.
        """
        temporary = self.write_temporary(content)
        try:
            return self.publish(temporary, name)
        except OSError as error:  # since `refuse` looked, a directory took the name
            self.discard(temporary)
            raise _unwritable(error) from error

    def write_temporary(self, content: Iterable[bytes]) -> str:
        """Write and sync a file that is no save yet, its entry too, and return its name, which nobody can foresee.

        Raises:
            UnavailableError: it could not be written; nothing of it stays.
        """
        temporary = f".save-{token_hex(8)}.tmp"
        try:
            descriptor = os.open(temporary, _CREATE, 0o600, dir_fd=self._directory)
        except OSError as error:
            raise _unwritable(error) from error
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, not a path
                file.writelines(content)
                file.flush()
                os.fsync(descriptor)
            # A rotate commits next that the window is over: a power cut then must not cost the file its entry.
            os.fsync(self._directory)
        except OSError as error:
            self.discard(temporary)
            raise _unwritable(error) from error
        return temporary

    def publish(self, temporary: str, name: str) -> SaveInfo:
        """Give a temporary file its name, replacing an older save, sync the directory, and return what it is."""
        os.rename(temporary, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        os.fsync(self._directory)
        status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        info = SaveInfo(name, status.st_size, status.st_mtime_ns)
        self._delete_old(newest=info)
        return info

    def finish(self, temporary: str, name: str) -> None:
        """Finish a rename that may have happened before a crash.

        The window is over and the file all that is left of it, so a name that something else took meanwhile must
        neither cost the file nor stop every start: it gets another name then.
        """
        directory = self._directory
        try:
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            other = f"{name.removesuffix(SAVE_ENDING)[:100]}-{token_hex(8)}{SAVE_ENDING}"
            os.rename(temporary, other, src_dir_fd=directory, dst_dir_fd=directory)
            logger.error("a directory took the name of the save %s, which is kept as %s", name, other)
        os.fsync(directory)

    def discard(self, temporary: str) -> None:
        """Delete a temporary file if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=self._directory)

    def discard_leftovers(self) -> None:
        """Delete temporary files that a crash left behind."""
        for name in self._names():
            if _TEMPORARY.fullmatch(name):
                with suppress(IsADirectoryError):  # not ours, and in nobody's way
                    self.discard(name)

    def _names(self) -> Sequence[str]:
        return os.listdir(self._directory)  # noqa: PTH208  pathlib cannot list a descriptor

    def _look(self, name: str) -> SaveInfo | None:
        if not name.endswith((SAVE_ENDING, EXPORT_ENDING)):
            return None
        try:
            status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return SaveInfo(name, status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None

    def _delete_old(self, newest: SaveInfo) -> None:
        if not self._limits.keep_saves:
            return
        others = [info for info in self.list() if info.name != newest.name]
        for info in others[self._limits.keep_saves - 1 :]:
            self.discard(info.name)
        self._date_before(newest, others[: self._limits.keep_saves - 1])

    def _date_before(self, newest: SaveInfo, others: Sequence[SaveInfo]) -> None:
        """Have saves, newest first, be dated before `newest`: once a clock was set back, those from before would stay
        the newest for as long, and every save that comes would be deleted for the next."""
        latest_ns = newest.modified_ns - 1
        for info in others:
            if info.modified_ns <= latest_ns:
                break
            os.utime(info.name, ns=(latest_ns, latest_ns), dir_fd=self._directory, follow_symlinks=False)
            latest_ns -= 1


def _unwritable(error: OSError) -> UnavailableError:
    return UnavailableError(f"the save could not be written: {error.strerror}", RETRY_AFTER_SECONDS)
