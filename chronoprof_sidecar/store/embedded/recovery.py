"""Starting: from a file to memory, as if the process had never ended.

Rows are loaded, then the journal repeats what they do not count yet. Nothing here looks at the clock or at today's
settings to decide what a batch counted as: the journal holds those decisions.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.history import MINUTE_NS
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import OTHER
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.failures import UnusableDatabaseError
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.memory import Memory
from chronoprof_sidecar.store.embedded.missing import tell_in_history
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
    encode_losses,
)

logger = logging.getLogger(__name__)

UNKNOWN_SERVICE: Final = OTHER
"""Takes the loss figures of damage that no longer says whose it is: who asks for any service is told of it."""
_DEEP_STACK_BYTES: Final = 64 << 20

T = TypeVar("T")


class Recovery:
    """Fills a memory from a database; keeps damaged records aside and counts them."""

    def __init__(self, database: Database, memory: Memory, now_ns: int) -> None:
        self._database = database
        self._memory = memory
        self._now_ns = now_ns
        self._lsn_of: dict[Slot, int] = {}
        self._damaged: list[tuple[str, Slot | str | int, bytes]] = []
        self._missing_entries = 0

    def run(self) -> dict[str, int | str]:
        """Load and replay everything, and return what else was remembered.

        Raises:
            UnusableDatabaseError: the file cannot be read through, or rows are missing.
            UnavailableError, UnknownOutcomeError: damaged records could not be put aside.
        """
        meta = self._database.load_meta()
        memory = self._memory
        memory.begin_window(int(meta["generation"]), int(meta.get("window_start_ns", self._now_ns)))
        self._load_window(int(meta["window_rows"]))
        self._load_senders()
        entries = list(self._load_journal())
        checked_lsn = max(int(meta.get("lsn", 0)), int(meta.get("checked_lsn", 0)))
        lsn = max(checked_lsn, *self._lsn_of.values(), *(entry.lsn for entry in entries), 0)
        self._count_missing_entries(lsn - checked_lsn - sum(entry.lsn > checked_lsn for entry in entries))
        self._keep_damaged_aside(lsn, is_new="window_start_ns" not in meta)
        history_lsn = int(meta.get("history_erased_lsn", 0))
        self._load_minutes({entry.arrived_ns // MINUTE_NS for entry in entries})
        for entry in entries:
            memory.replay(entry, self._covered_by(entry.lsn, erased=entry.lsn <= history_lsn))
        memory.lsn = lsn  # whatever of the journal is missing, no new entry may have a number that a row counts already
        return meta

    def _covered_by(self, lsn: int, *, erased: bool) -> Callable[[Slot], bool]:
        lsn_of = self._lsn_of

        def covered(slot: Slot) -> bool:
            if erased and slot.kind in (MINUTE, MINUTE_LOSSES):
                return True
            return lsn_of.get(slot, 0) >= lsn

        return covered

    def _load_window(self, stored_rows: int) -> None:
        memory = self._memory
        rows = dict(self._database.load_rows(WINDOW, memory.generation))
        losses = dict(self._database.load_rows(WINDOW_LOSSES, memory.generation))
        if len(rows) + len(losses) < stored_rows:
            raise UnusableDatabaseError(f"{stored_rows - len(rows) - len(losses)} rows of the window are missing")
        for slot, record in rows.items():
            loaded = self._decode_row(slot, record, decode_statistics)
            if loaded:
                memory.window.put(RowKey(slot.function_name, slot.service, slot.version), loaded)
        for slot, record in losses.items():
            figures = self._decode_row(slot, record, decode_losses)
            if figures:
                memory.losses.setdefault(slot.service, Losses()).merge(figures)

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
                yield _decode_accepted(lsn, record)
            except (DamagedRecordError, MalformedRequestError):
                self._damaged.append(("journal", lsn, record))

    def _decode_row(self, slot: Slot, record: bytes, decode: Callable[[Slot, bytes], tuple[int, T]]) -> T | None:
        try:
            self._lsn_of[slot], value = decode(slot, record)
        except DamagedRecordError:
            self._damaged.append(("rows", slot, record))
            self._count_damage(slot.service)
            return None
        return value

    def _count_missing_entries(self, missing: int) -> None:
        """Count damaged entries, and those that are not there at all: their numbers have no gaps."""
        damaged = sum(table == "journal" for table, _, _ in self._damaged)
        self._missing_entries = max(missing, damaged, 0)
        if self._missing_entries:
            self._count_damage(UNKNOWN_SERVICE, self._missing_entries)

    def _keep_damaged_aside(self, lsn: int, *, is_new: bool) -> None:
        """Put damaged records aside, and write with the same commit that they are missing."""
        memory = self._memory
        if not (self._damaged or memory.dirty.losses or is_new):
            return
        database, generation = self._database, memory.generation
        with database.transaction():
            for table, key, record in self._damaged:
                database.keep_damaged(self._now_ns, table, key, record)
                logger.error("a record of %s was damaged and is kept aside: %r", table, key)
            slots = [Slot(WINDOW_LOSSES, generation, service, "", "") for service in memory.dirty.losses]
            database.write_rows(
                (slot, encode_losses(slot, self._lsn_of.get(slot, 0), memory.losses[slot.service])) for slot in slots
            )
            database.write_meta(
                generation=generation,
                window_start_ns=memory.window_start_ns,
                window_rows=database.count_window_rows(generation),
                checked_lsn=lsn,
            )
            if self._missing_entries:
                tell_in_history(database, UNKNOWN_SERVICE, self._missing_entries, self._now_ns)

    def _count_damage(self, service: str, records: int = 1) -> None:
        self._memory.losses.setdefault(service, Losses()).merge(Losses(set_aside=records))
        self._memory.dirty.losses.add(service)


def _decode_accepted(lsn: int, record: bytes) -> Entry:
    """Return the entry of a record whose body was accepted once.

    How deep a body may nest depends on what is left of the stack. One that was accepted near that limit must not be
    refused now, so what seems malformed gets a thread of its own with a deeper stack than any request had.
    """
    try:
        return decode_entry(lsn, record)
    except MalformedRequestError:
        limit, stack_bytes = sys.getrecursionlimit(), threading.stack_size(_DEEP_STACK_BYTES)
        sys.setrecursionlimit(2 * limit)
        try:
            with ThreadPoolExecutor(1) as thread:
                return thread.submit(decode_entry, lsn, record).result()
        finally:
            sys.setrecursionlimit(limit)
            threading.stack_size(stack_bytes)


def finish_rename(database: Database, saves: SaveDirectory, meta: dict[str, int | str]) -> None:
    """Finish the rename of a rotate that was cut short after its commit, and delete leftovers of those before it."""
    pending = str(meta.get("pending_rename", ""))
    if pending:
        temporary, _, name = pending.partition("/")
        saves.finish(temporary, name)
        with database.transaction():
            database.write_meta(pending_rename="")
    saves.discard_leftovers()
