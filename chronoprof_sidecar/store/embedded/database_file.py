"""The database's file as such: how it comes into being, and what is seen of it before SQLite opens it.

A file appears under its name whole, so an empty one is damaged, too. What SQLite calls damaged is marked by a file
beside it, so that the next start salvages it instead of meeting the same damage again.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.store.embedded.directories import sync_directory
from chronoprof_sidecar.store.embedded.failures import UnusableDatabaseError
from chronoprof_sidecar.store.embedded.records import encode_state
from chronoprof_sidecar.store.embedded.write_ahead_log import Log, inspect_log, read_schema_version

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
ROW_COLUMNS: Final = "kind, span, service, version, function_name, record"
_NEWEST_CONCEIVABLE: Final = 255
"""A schema version beyond this is damage, which must not keep every start from going on: no release comes that far."""
STATE_COPIES: Final = ("state", "state again")
"""Without these values nobody knows which window is current, so a flipped bit must not take them."""


def beside(path: Path, suffix: str) -> Path:
    """Return the file whose name is that of `path` and `suffix`."""
    return path.with_name(path.name + suffix)


def damage_mark(path: Path) -> Path:
    """Return the file whose presence says that a database is damaged; it may be the log that was."""
    return beside(path, "-damaged")


def mark_damaged(path: Path) -> None:
    """Have the next start salvage the database."""
    with suppress(OSError):  # then the next start meets the damage again
        damage_mark(path).touch(mode=0o600)
        sync_directory(path.parent)


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that leaves transactions to its user and waits for nobody."""
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def look(path: Path) -> Log:
    """Look at the files without opening them as a database, which would change them; make them if there are none.

    Raises:
        StoreError: written by a newer release.
        UnusableDatabaseError: damaged for all to see.
    """
    log = inspect_log(path)
    marked = damage_mark(path).exists()
    if not path.exists():
        if marked or log.commits_end:
            raise UnusableDatabaseError("it is gone, and what lies beside it is not")
        _create(path)
    version = read_schema_version(path, log)
    if version is not None and SCHEMA_VERSION < version <= _NEWEST_CONCEIVABLE:
        raise StoreError(
            f"{path} was written by a newer release (schema {version}, this one knows {SCHEMA_VERSION}): start that"
            " release, or give this one another CHRONOPROF_DATA_DIR; the file is left untouched"
        )
    if marked:
        raise UnusableDatabaseError("the last process found it damaged")
    if version != SCHEMA_VERSION:
        raise UnusableDatabaseError("it does not begin as a database of ours")
    return log


def _create(path: Path) -> None:
    """Make an empty database under another name, and give it its own once it is whole."""
    unfinished = beside(path, "-new")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with closing(connect(unfinished)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        record = encode_state({"generation": 1, "window_rows": 0, "identity": token_hex(16)})
        connection.executemany("INSERT INTO meta VALUES (?, ?)", [(name, record) for name in STATE_COPIES])
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    unfinished.rename(path)
    sync_directory(path.parent)
