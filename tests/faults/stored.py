"""What stands in a data directory, read from the files themselves, as a post-mortem would."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.store.embedded.loading import DATABASE_NAME
from chronoprof_sidecar.store.embedded.records import MINUTE, Slot, decode_statistics
from chronoprof_sidecar.wire.saves import load_save


class Counted(NamedTuple):
    """Calls and nanoseconds by function name."""

    calls: Counter[str]
    total_ns: Counter[str]


def read_history(data_directory: Path) -> Counted:
    """Return the sum over all minutes, which no reset touches; for after a clean stop."""
    counted = Counted(Counter(), Counter())
    with closing(sqlite3.connect(data_directory / DATABASE_NAME)) as database:
        assert [(0,)] == database.execute("SELECT count(*) FROM journal").fetchall()
        for *key, record in database.execute("SELECT * FROM rows WHERE kind = ?", (MINUTE,)):
            slot = Slot(*key)
            _, row = decode_statistics(slot, record)
            counted.calls[slot.function_name] += row.calls
            counted.total_ns[slot.function_name] += row.total_ns
    return counted


def read_save(path: Path) -> Snapshot:
    """Return the window that a save holds."""
    return load_save(path.read_bytes())


def counted_in(snapshot: Snapshot) -> Counted:
    """Return the calls and nanoseconds of a window."""
    counted = Counted(Counter(), Counter())
    for key, row in snapshot.rows:
        counted.calls[key.function_name] += row.calls
        counted.total_ns[key.function_name] += row.total_ns
    return counted


def temporary_files(save_directory: Path) -> list[str]:
    """Return the leftovers of saves that were cut short."""
    return [path.name for path in save_directory.iterdir() if path.name.startswith(".")]
