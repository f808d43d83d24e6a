"""SQLite's write-ahead log, looked at before SQLite does: commits that it will not read, and who wrote the file.

SQLite takes the log for ended at the first frame whose checksum is wrong, which is right after a power cut and hides
damage: the commits behind that frame are dropped without a word. Frames of the log's current round carry its salts
(sqlite.org/fileformat2.html, section 4), so a commit of this round behind the end that SQLite found is one too many.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
_USER_VERSION: Final = struct.Struct(">60xi")
_MAGIC: Final = b"SQLite format 3\0"
_CHECKSUM_ORDERS: Final = {0x377F0682: "<", 0x377F0683: ">"}
_WORD: Final = 0xFFFFFFFF


class Log(NamedTuple):
    """What a write-ahead log holds, by the marks of its frames alone."""

    commits_end: int = 0
    """The frame, counted from 1, that ends the last commit; 0 without any, at least 1 where nobody can tell."""
    schema_version: int | None = None
    """As the newest first page says; None when the log has no such page."""


def log_path(database_path: Path) -> Path:
    """Return where SQLite keeps the log of a database."""
    return database_path.with_name(f"{database_path.name}-wal")


def inspect_log(database_path: Path) -> Log:
    """Return what the log of a closed database holds."""
    try:
        with log_path(database_path).open("rb") as file:
            return _inspect(file)
    except FileNotFoundError:
        return Log()


def read_schema_version(database_path: Path, log: Log) -> int | None:
    """Return the schema version that a closed database claims to have, without opening it; None when it claims none."""
    if log.schema_version is not None:
        return log.schema_version
    with database_path.open("rb") as file:
        return _version_on(file)


def _inspect(file: BinaryIO) -> Log:
    size = os.fstat(file.fileno()).st_size
    if size <= _HEADER.size:
        return Log()
    salts, page_bytes = _current_round(file.read(_HEADER.size))
    if salts is None:
        return Log(commits_end=1)  # SQLite reads nothing of it, and there was something
    commits_end, schema_version = 0, None
    for number in range(1, (size - _HEADER.size) // (_FRAME.size + page_bytes) + 1):
        page, pages_after_commit, *frame_salts, _, _ = _FRAME.unpack(file.read(_FRAME.size))
        next_frame = file.tell() + page_bytes
        # One salt is enough: the other may be what is damaged. Of an earlier round both are different.
        if any(mine == theirs for mine, theirs in zip(frame_salts, salts, strict=True)):
            if page == 1:
                schema_version = _version_on(file) or schema_version
            if pages_after_commit:
                commits_end = number
        file.seek(next_frame)
    return Log(commits_end, schema_version)


def _version_on(first_page: BinaryIO) -> int | None:
    head = first_page.read(_USER_VERSION.size)
    if len(head) < _USER_VERSION.size or not head.startswith(_MAGIC):
        return None
    version: int = _USER_VERSION.unpack(head)[0]
    return version


def _current_round(header: bytes) -> tuple[list[int] | None, int]:
    """Return the salts and the page size of a log; no salts when its header has not the checksum that it should."""
    magic, _, page_bytes, _, *salts, first_sum, second_sum = _HEADER.unpack(header)
    order = _CHECKSUM_ORDERS.get(magic)
    if order is None:
        return None, page_bytes
    first = second = 0
    for one, other in struct.iter_unpack(f"{order}2I", header[:24]):
        first = (first + one + second) & _WORD
        second = (second + other + first) & _WORD
    return (salts if (first, second) == (first_sum, second_sum) else None), page_bytes
