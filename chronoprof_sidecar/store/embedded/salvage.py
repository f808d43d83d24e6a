"""Replacing a damaged database: what can still be read moves to a new file, the damaged one gets another name.

Nothing of the damaged file is deleted or overwritten, and no start takes a half-made replacement for the real thing:

    1  write the new file as `…-salvaging`      crash: the next start begins again
    2  rename it to `…-salvaged`                crash: the next start goes on with 3
    3  give the damaged files other names       crash: the same; what has its other name already is not there any more
    4  rename `…-salvaged` to the database      done

Only records whose checksum holds are taken over, so what the new file counts is true; that something is missing from
it stands in the new file from the beginning.
"""

import logging
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.database_file import ROW_COLUMNS, beside, damage_mark
from chronoprof_sidecar.store.embedded.directories import sync_directory
from chronoprof_sidecar.store.embedded.missing import tell_in_history
from chronoprof_sidecar.store.embedded.records import (
    SUM_KINDS,
    WINDOW,
    WINDOW_LOSSES,
    DamagedRecordError,
    Slot,
    decode_losses,
    decode_state,
    encode_losses,
    is_whole,
    stored_lsn,
)
from chronoprof_sidecar.store.embedded.recovery import UNKNOWN_SERVICE
from chronoprof_sidecar.store.embedded.write_ahead_log import log_path
from chronoprof_sidecar.wire.times import format_time

logger = logging.getLogger(__name__)

_COMPANIONS: Final = ("", "-wal", "-shm", "-damaged")


def replace_damaged(path: Path, open_database: Callable[[Path], Database], now_ns: int, reason: Exception) -> None:
    """Salvage a damaged database into a new one of the same name.

    Raises:
        StoreError, UnavailableError, UnknownOutcomeError, OSError: the new one could not be written; the next start
            tries again.
    """
    logger.error("%s is damaged: %s", path, reason)
    salvaging = beside(path, "-salvaging")
    _discard_leftovers(path)
    database = open_database(salvaging)
    try:
        with closing(_Wreck(_copy(path))) as wreck, database.transaction():
            _salvage(wreck, database, now_ns)
    finally:
        database.close()
    salvaging.rename(beside(path, "-salvaged"))
    sync_directory(path.parent)
    _discard_leftovers(path)
    finish_replacement(path, now_ns)


def finish_replacement(path: Path, now_ns: int) -> None:
    """Put a salvaged database in the place of the damaged one, if there is one that is not there yet."""
    salvaged = beside(path, "-salvaged")
    if not salvaged.exists():
        return
    mark = damage_mark(path)
    if mark.exists() and not mark.stat().st_size:
        mark.unlink()
    moment = format_time(now_ns).replace(":", "").replace(".", "")
    for companion in _COMPANIONS:
        _set_aside(beside(path, companion), beside(path, f".damaged-{moment}{companion}"))
    sync_directory(path.parent)  # or a power cut may leave the old log beside the new file
    salvaged.rename(path)
    sync_directory(path.parent)


def _discard_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f"{path.name}-salvaging*"):
        leftover.unlink()


def _copy(path: Path) -> Path:
    """Return a copy of the damaged files, since SQLite changes what it opens, and more so what it cannot make out."""
    copy = beside(path, "-salvaging-copy")
    for file, twin in ((path, copy), (log_path(path), log_path(copy))):
        if file.exists():
            shutil.copyfile(file, twin)
    return copy


def _set_aside(file: Path, other: Path) -> None:
    if not file.exists():
        return
    while other.exists():
        other = beside(other, "-again")
    file.rename(other)
    logger.error("%s is kept as %s", file.name, other.name)


class _Wreck:
    """A damaged database, read as far as that goes."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)
        # Its records show which names are not what was written; one that is no UTF-8 must not end the reading.
        self._connection.text_factory = lambda text: text.decode(errors="replace")
        # SQLite then reads on where the file ends too early or the schema is damaged in part; nothing is written here.
        self._connection.execute("PRAGMA writable_schema = ON")
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")

    def close(self) -> None:
        self._connection.close()

    def state(self) -> dict[str, int | str] | None:
        """Return the single values; None when all copies are damaged."""
        for (record,) in self._scan("value", "meta", "name"):
            with suppress(DamagedRecordError):
                return decode_state(record)
        return None

    def rows(self) -> Iterator[tuple[Slot, bytes, int]]:
        """Yield the records of `rows` that are whole, and the lsn of each; no sums."""
        for *key, record in self._scan(ROW_COLUMNS, "rows NOT INDEXED", "rowid"):
            slot = Slot(*key)
            if slot.kind in SUM_KINDS:
                continue  # of rows that may be damaged; they are made anew
            with suppress(DamagedRecordError):
                yield slot, record, stored_lsn(slot, record)

    def senders(self) -> dict[str, bytes]:
        """Return the records of senders that are whole."""
        return {key: record for key, record in self._scan("id, record", "senders", "rowid") if is_whole(key, record)}

    def journal(self) -> dict[int, bytes]:
        """Return the records of journal entries that are whole."""
        return {lsn: record for lsn, record in self._scan("lsn, record", "journal", "lsn") if is_whole(lsn, record)}

    def _scan(self, columns: str, table: str, key: str) -> Iterator[tuple[Any, ...]]:
        """Yield rows up to the first damaged page, and then from the other end up to the last one."""
        for direction in ("ASC", "DESC"):
            try:
                # Our own text.
                yield from self._connection.execute(f"SELECT {columns} FROM {table} ORDER BY {key} {direction}")  # noqa: S608
            except sqlite3.Error as error:
                logger.warning("%s cannot be read through: %s", table.partition(" ")[0], error)
            else:
                return


def _salvage(wreck: _Wreck, database: Database, now_ns: int) -> None:
    """Copy what is whole, and write that something is missing."""
    last_window = last_lsn = 0
    for slot, record, lsn in wreck.rows():
        database.write_rows([(slot, record)])
        last_lsn = max(last_lsn, lsn)
        if slot.kind in (WINDOW, WINDOW_LOSSES):
            last_window = max(last_window, slot.span)
    database.write_senders(wreck.senders().items(), ())
    journal = wreck.journal()
    state = wreck.state()
    if state is None:
        # Nobody knows whether the last window that has rows is still the current one, nor of which the journal's
        # entries are: begin another.
        state = {"generation": last_window + 1, "window_start_ns": now_ns}
    else:
        database.append_journal(sorted(journal.items()))
    generation = int(state["generation"])
    _count_as_missing(database, generation)
    known = {"window_rows": database.count_window_rows(generation), "checked_lsn": max([last_lsn, *journal])}
    database.write_meta(**state | known)
    tell_in_history(database, UNKNOWN_SERVICE, 1, now_ns)


def _count_as_missing(database: Database, generation: int) -> None:
    slot = Slot(WINDOW_LOSSES, generation, UNKNOWN_SERVICE, "", "")
    stored = database.load_row(slot)
    lsn, losses = decode_losses(slot, stored) if stored else (0, Losses())
    losses.merge(Losses(set_aside=1))
    database.write_rows([(slot, encode_losses(slot, lsn, losses))])
