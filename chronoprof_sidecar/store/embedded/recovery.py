"""Starting: from a file to memory, as if the process had never ended.

Rows are loaded, then the journal repeats what they do not count yet. Nothing here looks at the clock or at today's
settings to decide what a batch counted as: the journal holds those decisions.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.memory import MINUTE_NS, Memory
from chronoprof_sidecar.store.embedded.records import (
    MINUTE,
    MINUTE_LOSSES,
    WINDOW,
    WINDOW_LOSSES,
    DamagedRecordError,
    Entry,
    Slot,
    decode_entry,
    decode_losses,
    decode_sender,
    decode_statistics,
)
from chronoprof_sidecar.wire.times import format_time

logger = logging.getLogger(__name__)

UNKNOWN_SERVICE: Final = ""
"""Takes the loss figures of damage that no longer says whose it is."""

T = TypeVar("T")


class Recovery:
    """Fills a memory from a database; keeps damaged records aside and counts them."""

    def __init__(self, database: Database, memory: Memory, now_ns: int) -> None:
        self._database = database
        self._memory = memory
        self._now_ns = now_ns
        self._lsn_of: dict[Slot, int] = {}
        self._damaged: list[tuple[str, Slot | str | int, bytes]] = []

    def run(self) -> dict[str, int | str]:
        """Load and replay everything, and return what else was remembered.

        Raises:
            UnusableDatabaseError: the file cannot be read through.
            UnavailableError, UnknownOutcomeError: damaged records could not be put aside.
        """
        meta = self._database.load_meta()
        memory = self._memory
        memory.begin_window(int(meta.get("generation", 1)), int(meta.get("window_start_ns", self._now_ns)))
        memory.lsn = int(meta.get("lsn", 0))
        self._load_window()
        self._load_senders()
        with _deeper_recursion():
            entries = list(self._load_journal())
        self._keep_damaged_aside(is_new="generation" not in meta)
        history_lsn = int(meta.get("history_erased_lsn", 0))
        self._load_minutes({entry.arrived_ns // MINUTE_NS for entry in entries})
        for entry in entries:
            memory.replay(entry, self._covered_by(entry.lsn, erased=entry.lsn <= history_lsn))
        return meta

    def _covered_by(self, lsn: int, *, erased: bool) -> Callable[[Slot], bool]:
        lsn_of = self._lsn_of

        def covered(slot: Slot) -> bool:
            if erased and slot.kind in (MINUTE, MINUTE_LOSSES):
                return True
            return lsn_of.get(slot, 0) >= lsn

        return covered

    def _load_window(self) -> None:
        memory = self._memory
        for slot, record in list(self._database.load_rows(WINDOW, memory.generation)):
            loaded = self._decode_row(slot, record, decode_statistics)
            if loaded:
                memory.window.put(RowKey(slot.function_name, slot.service, slot.version), loaded)
        for slot, record in list(self._database.load_rows(WINDOW_LOSSES, memory.generation)):
            losses = self._decode_row(slot, record, decode_losses)
            if losses:
                memory.losses.setdefault(slot.service, Losses()).merge(losses)

    def _load_minutes(self, minutes: set[int]) -> None:
        for minute in minutes:
            for kind, decode in ((MINUTE, decode_statistics), (MINUTE_LOSSES, decode_losses)):
                for slot, record in self._database.load_rows(kind, minute):
                    try:
                        self._lsn_of[slot] = decode(slot, record)[0]
                    except DamagedRecordError:
                        continue  # the next checkpoint of this row puts it aside and counts it

    def _load_senders(self) -> None:
        loaded = []
        for sender_id, record in self._database.load_senders():
            try:
                loaded.append(decode_sender(sender_id, record))
            except DamagedRecordError:
                # Its next batch is answered 409 and comes again under a new id: a restart of counting, not a loss.
                self._damaged.append(("senders", sender_id, record))
        for sender in sorted(loaded, key=lambda sender: sender.active_minute):
            self._memory.senders.put(sender)

    def _load_journal(self) -> Iterator[Entry]:
        for lsn, record in self._database.load_journal():
            try:
                yield decode_entry(lsn, record)
            except (DamagedRecordError, MalformedRequestError):
                self._damaged.append(("journal", lsn, record))
                self._count_damage(UNKNOWN_SERVICE)

    def _decode_row(self, slot: Slot, record: bytes, decode: Callable[[Slot, bytes], tuple[int, T]]) -> T | None:
        try:
            self._lsn_of[slot], value = decode(slot, record)
        except DamagedRecordError:
            self._damaged.append(("rows", slot, record))
            self._count_damage(slot.service)
            return None
        return value

    def _keep_damaged_aside(self, *, is_new: bool) -> None:
        if not (self._damaged or is_new):
            return
        memory = self._memory
        with self._database.transaction():
            self._database.write_meta(generation=memory.generation, window_start_ns=memory.window_start_ns)
            for table, key, record in self._damaged:
                self._database.keep_damaged(self._now_ns, table, key, record)
                logger.error("a record of %s was damaged and is kept aside: %r", table, key)

    def _count_damage(self, service: str) -> None:
        self._memory.losses.setdefault(service, Losses()).merge(Losses(set_aside=1))
        self._memory.dirty.losses.add(service)


@contextmanager
def _deeper_recursion() -> Iterator[None]:
    """Decode with a deeper stack than any request had: how deep a body may nest depends on what is left of it, and a
    body that was accepted near that limit must not be refused now."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * limit)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def set_aside(path: Path, now_ns: int, reason: Exception) -> None:
    """Give an unusable database and its log another name; nothing is deleted or overwritten."""
    moment = format_time(now_ns).replace(":", "").replace(".", "")
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            aside = path.with_name(f"{path.name}.damaged-{moment}{suffix}")
            file.rename(aside)
            logger.error("%s cannot be used (%s); it is kept as %s", file.name, reason, aside.name)


def finish_rename(database: Database, saves: SaveDirectory, meta: dict[str, int | str]) -> None:
    """Finish the rename of a rotate that was cut short after its commit, and delete leftovers of those before it."""
    pending = str(meta.get("pending_rename", ""))
    if pending:
        temporary, _, name = pending.partition("/")
        saves.finish(temporary, name)
        with database.transaction():
            database.write_meta(pending_rename="")
    saves.discard_leftovers()
