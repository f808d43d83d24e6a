"""What a log holds, told from its bytes, against what SQLite finds in it."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chronoprof_sidecar.store.embedded.write_ahead_log import Log, inspect_log, log_path, read_schema_version

PAGE_BYTES = 4096
FRAME_BYTES = 24 + PAGE_BYTES
HEADER_BYTES = 32


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database with three commits in its log and nothing in its file."""
    with closing(sqlite3.connect(tmp_path / "live.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA user_version = 7")
        connection.execute("CREATE TABLE t (value)")
        connection.execute("INSERT INTO t VALUES (1)")
        yield connection


def copy(tmp_path: Path) -> Path:
    """Copy the database and its log as a crash would leave them."""
    path = tmp_path / "crashed.db"
    shutil.copyfile(tmp_path / "live.db", path)
    shutil.copyfile(log_path(tmp_path / "live.db"), log_path(path))
    return path


def frames_read(path: Path) -> int:
    """Return how many frames of the log SQLite reads."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master")
        frames: int = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    return frames


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def test_a_whole_log(connection: sqlite3.Connection, tmp_path: Path) -> None:
    """The last commit is where SQLite sees it, and the schema version is that of the log, not of the file."""
    path = copy(tmp_path)
    log = inspect_log(path)
    assert 7 == read_schema_version(path, log)
    assert 0 == read_schema_version(path, Log())
    assert frames_read(path) == log.commits_end > 0
    assert connection.in_transaction is False


def test_without_a_log(tmp_path: Path) -> None:
    """A database without a log has no commits there, and one that is no database has no version."""
    path = tmp_path / "t.db"
    assert Log() == inspect_log(path)
    path.write_bytes(b"no database")
    assert read_schema_version(path, Log()) is None


@pytest.mark.parametrize("where", [0, 8, 23, 24 + 100])
@pytest.mark.parametrize("from_the_end", [2, 1])
def test_a_damaged_frame(connection: sqlite3.Connection, tmp_path: Path, from_the_end: int, where: int) -> None:
    """Whatever bit of a frame flips, the commit that SQLite drops for it and those behind it are seen."""
    path = copy(tmp_path)
    whole = inspect_log(path).commits_end
    flip(log_path(path), HEADER_BYTES + (whole - from_the_end) * FRAME_BYTES + where)
    assert whole == inspect_log(path).commits_end
    assert frames_read(path) < whole
    assert connection.in_transaction is False


@pytest.mark.parametrize("offset", [0, 8, 16, 31])
def test_a_damaged_header(connection: sqlite3.Connection, tmp_path: Path, offset: int) -> None:
    """SQLite reads nothing of a log with a damaged header, so there was something to read."""
    path = copy(tmp_path)
    flip(log_path(path), offset)
    assert inspect_log(path).commits_end > 0
    assert 0 == frames_read(path)
    assert connection.in_transaction is False


def test_frames_of_an_earlier_round(connection: sqlite3.Connection, tmp_path: Path) -> None:
    """What lies behind the last commit from before the log began anew is no commit of now."""
    before = inspect_log(copy(tmp_path)).commits_end
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("INSERT INTO t VALUES (2)")
    path = copy(tmp_path)
    log = inspect_log(path)
    assert log_path(path).stat().st_size >= HEADER_BYTES + before * FRAME_BYTES
    assert 0 < log.commits_end < before
    assert log.commits_end == frames_read(path)


def test_a_log_without_a_commit(connection: sqlite3.Connection, tmp_path: Path) -> None:
    """A log that ends before its first commit does is what a crash leaves, not damage."""
    path = copy(tmp_path)
    for size in (HEADER_BYTES + FRAME_BYTES - 1, HEADER_BYTES, 0):
        with log_path(path).open("r+b") as file:
            file.truncate(size)
        assert Log() == inspect_log(path)
    assert connection.in_transaction is False
