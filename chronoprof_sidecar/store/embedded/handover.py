"""Handing over: all that a data directory holds, read under its lock, for another store to go on with.

The journal is replayed as at any start, and nothing is counted or aged: what is stored stays what it is, beside an
identity that tells a second handing over from the first.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from secrets import token_hex

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.history import Span
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.table import Selection, Table
from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.embedded.addition import decode_row
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.failures import DirectoryInUseError, UnknownOutcomeError, UnusableDatabaseError
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.loading import DATABASE_NAME, Loaded, load
from chronoprof_sidecar.store.embedded.memory import MinuteDelta
from chronoprof_sidecar.store.embedded.records import HOUR, HOUR_LOSSES, MINUTE, MINUTE_LOSSES, DamagedRecordError
from chronoprof_sidecar.store.holdings import HeldSave, HeldStretch, Holdings


@contextmanager
def hold(settings: Settings, now_ns: int) -> Iterator[Holdings]:
    """Open the store in `settings.data_dir` as a sidecar would, and yield what it holds; no sidecar runs on it then.

    Raises:
        StoreError: there is none, a sidecar uses it, or it cannot be read; the message says what to do.
        UnavailableError: its disk is full.
    """
    directory = settings.data_dir
    if not (directory / DATABASE_NAME).exists():
        raise StoreError(f"there is no store in {directory}")
    try:
        # Synced whatever the setting: an identity that a power cut takes is no identity.
        loaded = load(replace(settings, durability="full"), now_ns)
    except DirectoryInUseError:
        raise StoreError(f"a sidecar uses {directory}: stop it first, its senders keep what they have") from None
    try:
        yield _read(loaded, now_ns)
    except (UnusableDatabaseError, UnknownOutcomeError) as error:
        raise StoreError(f"cannot read {directory / DATABASE_NAME}: {error}") from error
    finally:
        loaded.database.close()
        loaded.saves.close()
        loaded.lock.close()


def _read(loaded: Loaded, now_ns: int) -> Holdings:
    memory = loaded.memory
    return Holdings(
        identity=_identity(loaded.database),
        batches=memory.lsn,
        window=memory.snapshot(Selection(), now_ns),
        senders=list(memory.senders),
        service_minute=loaded.service_minute,
        stretches=_read_stretches(loaded),
        saves=_read_saves(loaded.saves),
    )


def _identity(database: Database) -> str:
    identity = str(database.load_meta().get("identity", ""))
    if not identity:  # 0.1.0 made databases without one
        identity = token_hex(16)
        with database.transaction():
            database.write_meta(identity=identity)
    return identity


def _read_stretches(loaded: Loaded) -> Iterator[HeldStretch]:
    """Yield what is stored of the history, and what the journal adds to it."""
    for number, span in sorted(loaded.hours.spans()):
        yield _read_stored(loaded.database, HOUR, number, span)
    gains = loaded.memory.dirty.minutes
    for minute in sorted({*loaded.minutes, *gains}):
        span = Span(minute, minute + 1)
        if loaded.leftovers.among([minute]):
            stretch = HeldStretch(is_hour=False, span=span, rows=Table(), losses={})
        else:
            stretch = _read_stored(loaded.database, MINUTE, minute, span)
        if minute in gains:
            _add(stretch, gains[minute])
        yield stretch


def _read_stored(database: Database, kind: int, number: int, span: Span) -> HeldStretch:
    """Return what is stored of one stretch; a damaged record is counted as set aside, as whoever reads it is told."""
    stretch = HeldStretch(kind == HOUR, span, Table(), {})
    for each in (kind, HOUR_LOSSES if kind == HOUR else MINUTE_LOSSES):
        for slot, record in database.load_rows(each, number):
            try:
                _, figures = decode_row(slot, record)
            except DamagedRecordError:
                figures = Losses(set_aside=1)
            if isinstance(figures, Losses):
                stretch.losses.setdefault(slot.service, Losses()).merge(figures)
            else:
                stretch.rows.put(RowKey(slot.function_name, slot.service, slot.version), figures)
    return stretch


def _add(stretch: HeldStretch, gain: MinuteDelta) -> None:
    for key, row in gain.rows.select(Selection()):
        stretch.rows.put(key, row)
    for service, losses in gain.losses.items():
        stretch.losses.setdefault(service, Losses()).merge(losses)


def _read_saves(saves: SaveDirectory) -> Iterator[HeldSave]:
    for info in saves.list():
        descriptor, opened = saves.open(info.name)
        with os.fdopen(descriptor, "rb") as file:
            yield HeldSave(opened.name, opened.modified_ns, file.read())
