"""What an error of SQLite means: whether the file, the disk or somebody else is at fault, and what follows from it."""

import sqlite3
from typing import Final

from chronoprof_sidecar.errors import StoreError

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGE: Final = {
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_ERROR,  # our own statements are right, so it is the schema that is not what it was
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_FORMAT,
}


class DirectoryInUseError(StoreError):
    """Another process has the data directory."""


class UnusableDatabaseError(Exception):
    """The file is no database, or is damaged; the next start salvages what can still be read."""


class UnknownOutcomeError(Exception):
    """A commit failed so that nobody knows whether it happened; only a restart can find out."""


def is_busy(error: sqlite3.Error) -> bool:
    """Say whether another process holds the file."""
    return _code(error) & 0xFF in _BUSY


def is_full(error: sqlite3.Error) -> bool:
    """Say whether the disk is full, of which SQLite says that the transaction can be rolled back."""
    return _code(error) & 0xFF == sqlite3.SQLITE_FULL


def is_damage(error: sqlite3.Error) -> bool:
    """Say whether the file's content is at fault: neither the disk, nor permissions, nor another process."""
    code = _code(error)
    # A file that was opened for writing is read-only to SQLite when its header says so; all other reasons have a
    # code of their own (sqlite.org/rescode.html).
    return code & 0xFF in _DAMAGE or code == sqlite3.SQLITE_READONLY


def _code(error: sqlite3.Error) -> int:
    # Some errors are Python's own and carry no code: those of a value that SQLite read and Python cannot take.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
