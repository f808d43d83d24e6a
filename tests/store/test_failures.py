"""What SQLite's errors mean, told from real ones."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chronoprof_sidecar.store.embedded.failures import is_busy, is_damage, is_full

DAMAGED, BUSY, FULL = "damaged", "busy", "full"
WRITE_VERSION = 18


def overwritten(path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("VACUUM")
    connection.close()
    path.write_bytes(b"not a database" * 1000)
    with closing(sqlite3.connect(path)) as again:
        again.execute("SELECT * FROM t")


def of_a_foreign_version(path: Path, connection: sqlite3.Connection) -> None:
    connection.close()
    content = bytearray(path.read_bytes())
    content[WRITE_VERSION] ^= 64
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as again:
        again.execute("INSERT INTO t VALUES ('b')")


def without_its_table(_path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("DROP TABLE t")
    connection.execute("SELECT * FROM t")


def with_a_name_that_is_no_text(_path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES (CAST(x'ff' AS TEXT))")
    connection.execute("SELECT name FROM t").fetchall()


def with_a_key_twice(_path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES ('a')")


def held_by_another(path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")


def on_a_full_disk(_path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1")
    connection.execute("INSERT INTO t VALUES (hex(randomblob(100000)))")


CASES: dict[Callable[[Path, sqlite3.Connection], None], str] = {
    overwritten: DAMAGED,
    of_a_foreign_version: DAMAGED,
    without_its_table: DAMAGED,
    with_a_name_that_is_no_text: DAMAGED,
    with_a_key_twice: DAMAGED,
    held_by_another: BUSY,
    on_a_full_disk: FULL,
}


@pytest.mark.parametrize("fail", CASES, ids=lambda fail: fail.__name__)
def test_an_error_has_one_meaning(tmp_path: Path, fail: Callable[[Path, sqlite3.Connection], None]) -> None:
    """A damaged file, a held one and a full disk are told apart, also where the error is Python's own."""
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (name TEXT PRIMARY KEY)")
        connection.execute("INSERT INTO t VALUES ('a')")
        with pytest.raises(sqlite3.Error) as raised:
            fail(path, connection)
    meanings = {DAMAGED: is_damage, BUSY: is_busy, FULL: is_full}
    assert [CASES[fail]] == [meaning for meaning, holds in meanings.items() if holds(raised.value)]
