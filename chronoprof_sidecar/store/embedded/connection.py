"""The one connection to the SQLite database: how it is opened, its transactions, and what its errors lead to.

Used from one thread only. Knows nothing of tables; statements belong to `database`.

Durability: WAL with `synchronous=FULL` syncs the log at every commit, so a committed journal entry survives a power
cut on a disk that honours fsync; NORMAL survives a crash of the process, not of the machine.
`locking_mode=EXCLUSIVE`, set before WAL, keeps a second sidecar out of the directory and the wal-index in private
memory, so the WAL-reset bug of SQLite 3.7.0 to 3.51.2, which needs two connections, cannot occur.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.embedded.database_file import connect, damage_mark, look, mark_damaged
from chronoprof_sidecar.store.embedded.disk import Disk
from chronoprof_sidecar.store.embedded.failures import (
    DirectoryInUseError,
    UnknownOutcomeError,
    UnusableDatabaseError,
    is_busy,
    is_damage,
    is_full,
)
from chronoprof_sidecar.store.embedded.write_ahead_log import Log, log_path

_WAL_PAGES: Final = 4000
"""Pages in the log before SQLite moves them into the file: 16 MB keeps most journal entries from being moved at all,
since a checkpoint deletes them first."""


class Connection:
    """An open database file, held alone."""

    def __init__(self, path: Path, *, durability: str, min_free_bytes: int) -> None:
        """Open or create the file; see `Database`."""
        self._path = path
        self._disk = Disk(path.parent, min_free_bytes)
        try:
            log = look(path)
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
            self._sqlite = connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open {path}: {error}; CHRONOPROF_DATA_DIR must be writable") from error
        try:
            self._prepare(durability, log)
        except BaseException:
            self._sqlite.close()
            raise

    def close(self) -> None:
        """Let go of the file; SQLite moves its log into it."""
        self._sqlite.close()

    def full_disk_reason(self) -> str | None:
        """Say that there is no room on the disk; None when it is not so. Any thread may ask."""
        return self._disk.full_reason()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, as one step; see `Database.transaction`."""
        try:
            self._disk.refuse_almost_full()
            self._sqlite.execute("BEGIN IMMEDIATE")
            yield
            self._sqlite.execute("COMMIT")
            self._disk.note_written()
        except sqlite3.Error as error:
            self._roll_back(error)
            raise self._disk.note_full() from error
        except BaseException:
            with suppress(sqlite3.Error):  # what a damaged file may raise, too; the first error says why
                self._undo()
            raise

    def read(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        """Return all that a query finds.

        Raises:
            UnusableDatabaseError: the file is damaged.
            UnknownOutcomeError: it cannot be read.
        """
        try:
            return self._sqlite.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            self._refuse_damage(error)
            raise UnknownOutcomeError(str(error)) from error

    def write(self, statement: str, parameters: tuple[object, ...] = ()) -> int:
        """Run a statement inside of a transaction, which takes care of its errors; return how many rows it changed."""
        return self._sqlite.execute(statement, parameters).rowcount

    def write_many(self, statement: str, parameters: Iterable[tuple[object, ...]]) -> None:
        """Run a statement once for each of `parameters`, inside of a transaction, which takes care of its errors."""
        self._sqlite.executemany(statement, parameters)

    def give_up(self, reason: str) -> NoReturn:
        """Have the next start salvage the file.

        Raises:
            UnusableDatabaseError: always.
        """
        mark_damaged(self._path)
        raise UnusableDatabaseError(reason)

    def _prepare(self, durability: str, log: Log) -> None:
        try:
            self._sqlite.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._sqlite.execute("SELECT count(*) FROM sqlite_master")  # reads the log
            self._refuse_dropped_commits(log)
            self._sqlite.execute("PRAGMA journal_mode = WAL")
            self._sqlite.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
            self._sqlite.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            self._sqlite.execute("BEGIN IMMEDIATE")  # takes the lock for good
            self._sqlite.execute("COMMIT")
        except sqlite3.Error as error:
            if is_busy(error):
                raise DirectoryInUseError(
                    f"another sidecar uses {self._path}; give this one its own data directory"
                ) from None
            self._refuse_damage(error)
            raise StoreError(f"cannot open {self._path}: {error}; CHRONOPROF_DATA_DIR must be writable") from error

    def _refuse_dropped_commits(self, log: Log) -> None:
        """Refuse a log that SQLite reads in part; moving what it reads into the file is how it tells how much that is.

        After a power cut in the middle of a commit this may be a false alarm: parts of it reach the disk in any order.
        """
        if not log.commits_end:
            return
        try:
            _, frames, _ = self._sqlite.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            if is_full(error):
                return  # it cannot tell then
            raise
        if frames < log.commits_end:
            log_path(self._path).rename(damage_mark(self._path))  # or SQLite deletes it in the end
            raise UnusableDatabaseError(f"frame {frames + 1} of its log is damaged, and commits come after it")

    def _refuse_damage(self, error: sqlite3.Error) -> None:
        """If the file is at fault, have the next start salvage it.

        Raises:
            UnusableDatabaseError: it is.
        """
        if is_damage(error):
            self.give_up(str(error))

    def _undo(self) -> None:
        if self._sqlite.in_transaction:
            self._sqlite.execute("ROLLBACK")

    def _roll_back(self, error: sqlite3.Error) -> None:
        """Undo a failed transaction.

        Raises:
            UnusableDatabaseError: the file is damaged.
            UnknownOutcomeError: for every other error but a full disk, of which SQLite says that it can be rolled back.
        """
        self._refuse_damage(error)
        if not is_full(error):
            raise UnknownOutcomeError(str(error)) from error
        try:
            self._undo()
        except sqlite3.Error as failure:
            raise UnknownOutcomeError(str(failure)) from failure
