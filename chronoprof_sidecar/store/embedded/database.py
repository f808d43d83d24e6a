"""The SQLite database: what is stored in it, and the statements that read and write it.

Used from one thread only. Knows blobs and their keys; what is inside a blob belongs to `records`, and what it takes to
write it durably to `connection`.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from chronoprof_sidecar.store.embedded.connection import Connection
from chronoprof_sidecar.store.embedded.database_file import ROW_COLUMNS, STATE_COPIES
from chronoprof_sidecar.store.embedded.failures import UnusableDatabaseError
from chronoprof_sidecar.store.embedded.records import (
    WINDOW,
    WINDOW_LOSSES,
    DamagedRecordError,
    Slot,
    decode_state,
    encode_state,
)

_UPSERT_ROW: Final = (
    "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (kind, span, service, version, function_name) DO UPDATE SET record = excluded.record"
)
_KEYS: Final = {
    "rows": "kind = ? AND span = ? AND service = ? AND version = ? AND function_name = ?",
    "senders": "id = ?",
    "journal": "lsn = ?",
}


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
        self._connection = Connection(path, durability=durability, min_free_bytes=min_free_bytes)

    def close(self) -> None:
        """Let go of the file; SQLite moves its log into it."""
        self._connection.close()

    def full_disk_reason(self) -> str | None:
        """Say that there is no room on the disk; None when it is not so. Any thread may ask."""
        return self._connection.full_disk_reason()

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what the block writes, as one step; roll all of it back when the block or the commit fails.

        Raises:
            UnavailableError: the disk is full; nothing was written.
            UnknownOutcomeError: an I/O error; whether it was written, nobody knows.
            UnusableDatabaseError: the file is damaged.
        """
        return self._connection.transaction()

    # --- reading ----------------------------------------------------------------------------------------------------

    def load_meta(self) -> dict[str, int | str]:
        """Return all that `write_meta` wrote.

        Raises:
            UnusableDatabaseError: it is damaged.
        """
        for (record,) in self._connection.read("SELECT value FROM meta"):
            with suppress(DamagedRecordError):
                return decode_state(record)
        raise UnusableDatabaseError("what it says of itself is damaged")

    def load_rows(self, kind: int, span: int) -> Iterator[tuple[Slot, bytes]]:
        """Yield the records of one kind and span."""
        found = self._connection.read(f"SELECT {ROW_COLUMNS} FROM rows WHERE kind = ? AND span = ?", (kind, span))  # noqa: S608  our own text
        return ((self._slot(key), record) for *key, record in found)

    def load_row(self, slot: Slot) -> bytes | None:
        """Return the record at one slot."""
        found = self._connection.read(f"SELECT record FROM rows WHERE {_KEYS['rows']}", slot)  # noqa: S608  our own text
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
        found = self._connection.read(f"SELECT {ROW_COLUMNS} FROM rows WHERE {where} {order}", (*parameters, limit))  # noqa: S608  our own text
        return [(self._slot(key), record) for *key, record in found]

    def load_spans(self, kind: int) -> list[int]:
        """Return every span that has records of one kind, ascending."""
        found = self._connection.read("SELECT DISTINCT span FROM rows WHERE kind = ? ORDER BY span", (kind,))
        if not all(type(span) is int for (span,) in found):
            self._connection.give_up("a span is no number")
        return [span for (span,) in found]

    def count_window_rows(self, generation: int) -> int:
        """Return how many records the window of one generation has."""
        count = "SELECT count(*) FROM rows WHERE kind IN (?, ?) AND span = ?"
        number: int = self._connection.read(count, (WINDOW, WINDOW_LOSSES, generation))[0][0]
        return number

    def used_bytes(self) -> int:
        """Return how much of the file is in use; what was erased is used again before the file grows."""
        pages, free, size = (
            self._connection.read(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count", "page_size")
        )
        used: int = (pages - free) * size
        return used

    def load_senders(self) -> list[tuple[str, bytes]]:
        """Return the records of all senders."""
        return self._connection.read("SELECT id, record FROM senders")

    def load_journal(self) -> list[tuple[int, bytes]]:
        """Return all journal entries in order.

        Raises:
            UnusableDatabaseError: there may have been more of them.
        """
        findings = self._connection.read("PRAGMA quick_check(journal)")
        if findings != [("ok",)]:
            raise UnusableDatabaseError(f"the journal is damaged: {findings[0][0]}")
        return self._connection.read("SELECT lsn, record FROM journal ORDER BY lsn")

    def find_journal_piece(self, lsn: int, *, max_entries: int, max_bytes: int) -> int:
        """Return the last of those first journal entries that keep within the bounds, or alone exceed them.

        Args:
            lsn: the last entry to look at; what is returned when everything up to it keeps within the bounds.
            max_entries, max_bytes: the bounds.
        """
        query = "SELECT lsn, ifnull(length(record), 0) FROM journal WHERE lsn <= ? ORDER BY lsn LIMIT ?"
        found = self._connection.read(query, (lsn, max_entries + 1))
        totals = accumulate(size for _, size in found[:max_entries])
        within = [entry for (entry, _), total in zip(found, totals, strict=False) if total <= max_bytes]
        if len(within) == len(found):
            return lsn
        last: int = within[-1] if within else found[0][0]
        return last

    # --- writing ----------------------------------------------------------------------------------------------------

    def append_journal(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Write journal entries; durable once the transaction is."""
        self._connection.write_many("INSERT INTO journal VALUES (?, ?)", records)

    def truncate_journal(self, lsn: int) -> None:
        """Delete the entries up to `lsn`."""
        self._connection.write("DELETE FROM journal WHERE lsn <= ?", (lsn,))

    def write_rows(self, rows: Iterable[tuple[Slot, bytes]]) -> int:
        """Write records, replacing older ones at the same slots, and return how many slots are new."""
        before = self._last_row()
        self._connection.write_many(_UPSERT_ROW, ((*slot, record) for slot, record in rows))
        return self._last_row() - before

    def write_senders(self, senders: Iterable[tuple[str, bytes]], forgotten: Iterable[str]) -> None:
        """Write the records of senders, and erase those of forgotten ones."""
        self._connection.write_many("INSERT OR REPLACE INTO senders VALUES (?, ?)", senders)
        self._connection.write_many("DELETE FROM senders WHERE id = ?", ((sender_id,) for sender_id in forgotten))

    def write_meta(self, **values: int | str) -> None:
        """Write single values, replacing older ones of the same names."""
        record = encode_state(self.load_meta() | values)
        self._connection.write_many(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", [(name, record) for name in STATE_COPIES]
        )

    def erase_rows_at(self, slots: Iterable[Slot]) -> None:
        """Erase the records at these slots."""
        self._connection.write_many(f"DELETE FROM rows WHERE {_KEYS['rows']}", slots)  # noqa: S608  our own text

    def erase_some_rows(self, kind: int, spans: range, limit: int) -> int:
        """Erase at most `limit` records of some spans, and return how many there were."""
        some = "SELECT rowid FROM rows WHERE kind = ? AND span >= ? AND span < ? LIMIT ?"
        return self._connection.write(
            f"DELETE FROM rows WHERE rowid IN ({some})",  # noqa: S608  our own text
            (kind, spans.start, spans.stop, limit),
        )

    def keep_damaged(self, found_ns: int, table: str, key: Slot | str | int, record: bytes) -> None:
        """Move a damaged record of `rows`, `senders` or `journal` to where nobody reads it by accident."""
        name = repr(tuple(key)) if isinstance(key, tuple) else str(key)
        self._connection.write("INSERT INTO damaged VALUES (?, ?, ?, ?)", (found_ns, table, name, record))
        key_values = key if isinstance(key, tuple) else (key,)
        self._connection.write(f"DELETE FROM {table} WHERE {_KEYS[table]}", key_values)  # noqa: S608  our own texts

    def erase_old_windows(self, generation: int, limit: int) -> int:
        """Erase at most `limit` records each of the windows before `generation`, and return how many there were."""
        return sum(self.erase_some_rows(kind, range(generation), limit) for kind in (WINDOW, WINDOW_LOSSES))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _slot(self, key: Sequence[Any]) -> Slot:
        """Return a key as a slot: SQLite gives back whatever type damage has made of a column."""
        slot = Slot(*key)
        if not all(type(name) is str for name in (slot.service, slot.version, slot.function_name)):
            self._connection.give_up(f"a key is no text: {slot}")
        return slot

    def _last_row(self) -> int:
        # Rows are numbered on from the last one, so this grows by one with each new one.
        last: int = self._connection.read("SELECT ifnull(max(rowid), 0) FROM rows")[0][0]
        return last
