"""The SQLite file: its schema, its transactions, and what each of its errors means.

Used from one thread only. Knows blobs and their keys; what is inside a blob belongs to `records`.

Durability: WAL with `synchronous=FULL` syncs the log at every commit, so a committed journal entry survives a power
cut on a disk that honours fsync; NORMAL survives a crash of the process, not of the machine.
`locking_mode=EXCLUSIVE`, set before WAL, keeps a second sidecar out of the directory and the wal-index in private
memory, so the WAL-reset bug of SQLite 3.7.0 to 3.51.2, which needs two connections, cannot occur.
"""

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.embedded.disk import Disk
from chronoprof_sidecar.store.embedded.records import WINDOW, WINDOW_LOSSES, Slot

logger = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE journal (lsn INTEGER PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE rows (
    kind INTEGER NOT NULL, span INTEGER NOT NULL, service TEXT NOT NULL, version TEXT NOT NULL,
    function_name TEXT NOT NULL, record BLOB NOT NULL,
    UNIQUE (kind, span, service, version, function_name)
);
CREATE TABLE senders (id TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE damaged (found_ns INTEGER NOT NULL, origin TEXT NOT NULL, name TEXT NOT NULL, record BLOB);
"""
_UPSERT_ROW: Final = (
    "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (kind, span, service, version, function_name) DO UPDATE SET record = excluded.record"
)
_KEYS: Final = {
    "rows": "kind = ? AND span = ? AND service = ? AND version = ? AND function_name = ?",
    "senders": "id = ?",
    "journal": "lsn = ?",
}
_WAL_PAGES: Final = 4000
"""Pages in the log before SQLite moves them into the file: 16 MB keeps most journal entries from being moved at all,
since a checkpoint deletes them first."""

_BUSY: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_UNUSABLE: Final = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}


class UnusableDatabaseError(Exception):
    """The file is no database, or is damaged beyond reading."""


class UnknownOutcomeError(Exception):
    """A commit failed so that nobody knows whether it happened; only a restart can find out."""


class Database:
    """One open database file."""

    def __init__(self, path: Path, *, durability: str, min_free_bytes: int) -> None:
        """Open or create the file.

        Args:
            path: of the database; its directory exists.
            durability: `full` or `normal`.
            min_free_bytes: free space on its disk below which nothing is written.

        Raises:
            StoreError: in use, not permitted, or written by a newer release; the file is untouched.
            UnusableDatabaseError: no database, or damaged beyond reading.
        """
        self._path = path
        self._disk = Disk(path.parent, min_free_bytes)
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open {path}: {error}; CHRONOPROF_DATA_DIR must be writable") from error
        try:
            self._prepare(durability)
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Let go of the file; SQLite moves its log into it."""
        self._connection.close()

    def full_disk_reason(self) -> str | None:
        """Say that there is no room on the disk; None when it is not so. Any thread may ask."""
        return self._disk.full_reason()

    # --- reading ----------------------------------------------------------------------------------------------------

    def load_meta(self) -> dict[str, int | str]:
        """Return all that `write_meta` wrote."""
        return dict(self._read("SELECT name, value FROM meta"))

    def load_rows(self, kind: int, span: int) -> Iterator[tuple[Slot, bytes]]:
        """Yield the records of one kind and span."""
        for *key, record in self._read("SELECT * FROM rows WHERE kind = ? AND span = ?", (kind, span)):
            yield Slot(*key), record

    def load_row(self, slot: Slot) -> bytes | None:
        """Return the record at one slot."""
        found = self._read(f"SELECT record FROM rows WHERE {_KEYS['rows']}", slot)  # noqa: S608  our own text
        return found[0][0] if found else None

    def load_spans(self, kind: int) -> list[int]:
        """Return every span that has records of one kind, ascending."""
        return [span for (span,) in self._read("SELECT DISTINCT span FROM rows WHERE kind = ? ORDER BY span", (kind,))]

    def load_senders(self) -> list[tuple[str, bytes]]:
        """Return the records of all senders."""
        return self._read("SELECT id, record FROM senders")

    def load_journal(self) -> list[tuple[int, bytes]]:
        """Return all journal entries in order."""
        return self._read("SELECT lsn, record FROM journal ORDER BY lsn")

    # --- writing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, as one step; roll all of it back when the block or the commit fails.

        Raises:
            UnavailableError: the disk is full; nothing was written.
            UnknownOutcomeError: an I/O error; whether it was written, nobody knows.
        """
        try:
            self._disk.refuse_almost_full()
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
            self._disk.note_written()
        except sqlite3.Error as error:
            self._roll_back(error)
            raise self._disk.note_full() from error
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def append_journal(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Write journal entries; durable once the transaction is."""
        self._connection.executemany("INSERT INTO journal VALUES (?, ?)", records)

    def truncate_journal(self, lsn: int) -> None:
        """Delete the entries up to `lsn`."""
        self._connection.execute("DELETE FROM journal WHERE lsn <= ?", (lsn,))

    def write_rows(self, rows: Iterable[tuple[Slot, bytes]]) -> None:
        """Write records, replacing older ones at the same slots."""
        self._connection.executemany(_UPSERT_ROW, ((*slot, record) for slot, record in rows))

    def write_senders(self, senders: Iterable[tuple[str, bytes]], forgotten: Iterable[str]) -> None:
        """Write the records of senders, and erase those of forgotten ones."""
        self._connection.executemany("INSERT OR REPLACE INTO senders VALUES (?, ?)", senders)
        self._connection.executemany("DELETE FROM senders WHERE id = ?", ((sender_id,) for sender_id in forgotten))

    def write_meta(self, **values: int | str) -> None:
        """Write single values, replacing older ones of the same names."""
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())

    def erase_rows(self, kind: int) -> None:
        """Erase all records of one kind."""
        self._connection.execute("DELETE FROM rows WHERE kind = ?", (kind,))

    def erase_some_rows(self, kind: int, spans: range, limit: int) -> int:
        """Erase at most `limit` records of some spans, and return how many there were."""
        some = "SELECT rowid FROM rows WHERE kind = ? AND span >= ? AND span < ? LIMIT ?"
        erased = self._connection.execute(
            f"DELETE FROM rows WHERE rowid IN ({some})",  # noqa: S608  our own text
            (kind, spans.start, spans.stop, limit),
        )
        return erased.rowcount

    def keep_damaged(self, found_ns: int, table: str, key: Slot | str | int, record: bytes) -> None:
        """Move a damaged record of `rows`, `senders` or `journal` to where nobody reads it by accident."""
        name = repr(tuple(key)) if isinstance(key, tuple) else str(key)
        self._connection.execute("INSERT INTO damaged VALUES (?, ?, ?, ?)", (found_ns, table, name, record))
        key_values = key if isinstance(key, tuple) else (key,)
        self._connection.execute(f"DELETE FROM {table} WHERE {_KEYS[table]}", key_values)  # noqa: S608  our own texts

    def erase_old_windows(self, generation: int, limit: int) -> int:
        """Erase at most `limit` records each of the windows before `generation`, and return how many there were."""
        return sum(self.erase_some_rows(kind, range(generation), limit) for kind in (WINDOW, WINDOW_LOSSES))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _prepare(self, durability: str) -> None:
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._refuse_newer()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            self._connection.execute("BEGIN IMMEDIATE")  # takes the lock for good
            self._migrate()
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in _BUSY:
                raise StoreError(f"another sidecar uses {self._path}; give this one its own data directory") from None
            if error.sqlite_errorcode & 0xFF in _UNUSABLE:
                raise UnusableDatabaseError(str(error)) from error
            raise StoreError(f"cannot open {self._path}: {error}; CHRONOPROF_DATA_DIR must be writable") from error

    def _refuse_newer(self) -> None:
        if self._schema_version() > SCHEMA_VERSION:
            raise StoreError(f"{self._path} was written by a newer release; it is left untouched")

    def _migrate(self) -> None:
        if self._schema_version() == 0:
            for statement in _SCHEMA.split(";\n"):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _schema_version(self) -> int:
        version: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _read(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise UnusableDatabaseError(str(error)) from error

    def _roll_back(self, error: sqlite3.Error) -> None:
        """Undo a failed transaction.

        Raises:
            UnknownOutcomeError: for every error but a full disk, of which SQLite says that it can be rolled back.
        """
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
            raise UnknownOutcomeError(str(error)) from error
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as failure:
            raise UnknownOutcomeError(str(failure)) from failure
