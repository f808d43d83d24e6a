"""The SQLite database: what is read and written, and its transactions.

Used from one thread only. Knows blobs and their keys; what is inside a blob belongs to `records`.

Durability: WAL with `synchronous=FULL` syncs the log at every commit, so a committed journal entry survives a power
cut on a disk that honours fsync; NORMAL survives a crash of the process, not of the machine.
`locking_mode=EXCLUSIVE`, set before WAL, keeps a second sidecar out of the directory and the wal-index in private
memory, so the WAL-reset bug of SQLite 3.7.0 to 3.51.2, which needs two connections, cannot occur.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.embedded.database_file import (
    ROW_COLUMNS,
    STATE_COPIES,
    connect,
    damage_mark,
    look,
    mark_damaged,
)
from chronoprof_sidecar.store.embedded.disk import Disk
from chronoprof_sidecar.store.embedded.failures import (
    UnknownOutcomeError,
    UnusableDatabaseError,
    is_busy,
    is_damage,
    is_full,
)
from chronoprof_sidecar.store.embedded.records import (
    WINDOW,
    WINDOW_LOSSES,
    DamagedRecordError,
    Slot,
    decode_state,
    encode_state,
)
from chronoprof_sidecar.store.embedded.write_ahead_log import Log, log_path

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
            log = look(path)
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
            self._connection = connect(path)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"cannot open {path}: {error}; CHRONOPROF_DATA_DIR must be writable") from error
        try:
            self._prepare(durability, log)
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
        """Return all that `write_meta` wrote.

        Raises:
            UnusableDatabaseError: it is damaged.
        """
        for (record,) in self._read("SELECT value FROM meta"):
            with suppress(DamagedRecordError):
                return decode_state(record)
        raise UnusableDatabaseError("what it says of itself is damaged")

    def load_rows(self, kind: int, span: int) -> Iterator[tuple[Slot, bytes]]:
        """Yield the records of one kind and span."""
        found = self._read(f"SELECT {ROW_COLUMNS} FROM rows WHERE kind = ? AND span = ?", (kind, span))  # noqa: S608  our own text
        return ((self._slot(key), record) for *key, record in found)

    def load_row(self, slot: Slot) -> bytes | None:
        """Return the record at one slot."""
        found = self._read(f"SELECT record FROM rows WHERE {_KEYS['rows']}", slot)  # noqa: S608  our own text
        return found[0][0] if found else None

    def load_some_rows(
        self, kind: int, span: int, *, limit: int, after: Slot | None = None, **values: str
    ) -> list[tuple[Slot, bytes]]:
        """Return records of one kind and span in the order of their keys, at most `limit`.

        Args:
            kind, span: which records.
            limit: bounds the time that this takes.
            after: only records that come after this slot.
            values: what columns must be equal to.
        """
        where = " AND ".join(["kind = ?", "span = ?", *(f"{column} = ?" for column in values)])
        parameters: tuple[object, ...] = (kind, span, *values.values())
        if after is not None:
            where += " AND (service, version, function_name) > (?, ?, ?)"
            parameters += after[2:]
        order = "ORDER BY service, version, function_name LIMIT ?"
        found = self._read(f"SELECT {ROW_COLUMNS} FROM rows WHERE {where} {order}", (*parameters, limit))  # noqa: S608  our own text
        return [(self._slot(key), record) for *key, record in found]

    def load_spans(self, kind: int) -> list[int]:
        """Return every span that has records of one kind, ascending."""
        found = self._read("SELECT DISTINCT span FROM rows WHERE kind = ? ORDER BY span", (kind,))
        if not all(type(span) is int for (span,) in found):
            self._give_up("a span is no number")
        return [span for (span,) in found]

    def count_window_rows(self, generation: int) -> int:
        """Return how many records the window of one generation has."""
        count = "SELECT count(*) FROM rows WHERE kind IN (?, ?) AND span = ?"
        number: int = self._read(count, (WINDOW, WINDOW_LOSSES, generation))[0][0]
        return number

    def used_bytes(self) -> int:
        """Return how much of the file is in use; what was erased is used again before the file grows."""
        pages, free, size = (
            self._read(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size")
        )
        used: int = (pages - free) * size
        return used

    def load_senders(self) -> list[tuple[str, bytes]]:
        """Return the records of all senders."""
        return self._read("SELECT id, record FROM senders")

    def load_journal(self) -> list[tuple[int, bytes]]:
        """Return all journal entries in order.

        Raises:
            UnusableDatabaseError: there may have been more of them.
        """
        findings = self._read("PRAGMA quick_check(journal)")
        if findings != [("ok",)]:
            raise UnusableDatabaseError(f"the journal is damaged: {findings[0][0]}")
        return self._read("SELECT lsn, record FROM journal ORDER BY lsn")

    # --- writing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, as one step; roll all of it back when the block or the commit fails.

        Raises:
            UnavailableError: the disk is full; nothing was written.
            UnknownOutcomeError: an I/O error; whether it was written, nobody knows.
            UnusableDatabaseError: the file is damaged.
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
            with suppress(sqlite3.Error):  # what a damaged file may raise, too; the first error says why
                self._undo()
            raise

    def append_journal(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Write journal entries; durable once the transaction is."""
        self._connection.executemany("INSERT INTO journal VALUES (?, ?)", records)

    def truncate_journal(self, lsn: int) -> None:
        """Delete the entries up to `lsn`."""
        self._connection.execute("DELETE FROM journal WHERE lsn <= ?", (lsn,))

    def write_rows(self, rows: Iterable[tuple[Slot, bytes]]) -> int:
        """Write records, replacing older ones at the same slots, and return how many slots are new."""
        before = self._last_row()
        self._connection.executemany(_UPSERT_ROW, ((*slot, record) for slot, record in rows))
        return self._last_row() - before

    def write_senders(self, senders: Iterable[tuple[str, bytes]], forgotten: Iterable[str]) -> None:
        """Write the records of senders, and erase those of forgotten ones."""
        self._connection.executemany("INSERT OR REPLACE INTO senders VALUES (?, ?)", senders)
        self._connection.executemany("DELETE FROM senders WHERE id = ?", ((sender_id,) for sender_id in forgotten))

    def write_meta(self, **values: int | str) -> None:
        """Write single values, replacing older ones of the same names."""
        record = encode_state(self.load_meta() | values)
        self._connection.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", [(name, record) for name in STATE_COPIES]
        )

    def erase_rows_at(self, slots: Iterable[Slot]) -> None:
        """Erase the records at these slots."""
        self._connection.executemany(f"DELETE FROM rows WHERE {_KEYS['rows']}", slots)  # noqa: S608  our own text

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

    def _prepare(self, durability: str, log: Log) -> None:
        try:
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("SELECT count(*) FROM sqlite_master")  # reads the log
            self._refuse_dropped_commits(log)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
            self._connection.execute("BEGIN IMMEDIATE")  # takes the lock for good
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if is_busy(error):
                raise StoreError(f"another sidecar uses {self._path}; give this one its own data directory") from None
            self._refuse_damage(error)
            raise StoreError(f"cannot open {self._path}: {error}; CHRONOPROF_DATA_DIR must be writable") from error

    def _refuse_dropped_commits(self, log: Log) -> None:
        """Refuse a log that SQLite reads in part; moving what it reads into the file is how it tells how much that is.

        After a power cut in the middle of a commit this may be a false alarm: parts of it reach the disk in any order.
        """
        if not log.commits_end:
            return
        try:
            _, frames, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            if is_full(error):
                return  # it cannot tell then
            raise
        if frames < log.commits_end:
            log_path(self._path).rename(damage_mark(self._path))  # or SQLite deletes it in the end
            raise UnusableDatabaseError(f"frame {frames + 1} of its log is damaged, and commits come after it")

    def _read(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            self._refuse_damage(error)
            raise UnknownOutcomeError(str(error)) from error

    def _slot(self, key: Sequence[Any]) -> Slot:
        """Return a key as a slot: SQLite gives back whatever type damage has made of a column."""
        slot = Slot(*key)
        if not all(type(name) is str for name in (slot.service, slot.version, slot.function_name)):
            self._give_up(f"a key is no text: {slot}")
        return slot

    def _give_up(self, reason: str) -> NoReturn:
        """Have the next start salvage the file.

        Raises:
            UnusableDatabaseError: always.
        """
        mark_damaged(self._path)
        raise UnusableDatabaseError(reason)

    def _refuse_damage(self, error: sqlite3.Error) -> None:
        """If the file is at fault, have the next start salvage it.

        Raises:
            UnusableDatabaseError: it is.
        """
        if is_damage(error):
            self._give_up(str(error))

    def _last_row(self) -> int:
        # Rows are numbered on from the last one, so this grows by one with each new one.
        last: int = self._connection.execute("SELECT ifnull(max(rowid), 0) FROM rows").fetchone()[0]
        return last

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

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
