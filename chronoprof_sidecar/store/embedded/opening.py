"""Opening an embedded store: directory, database, recovery, then all parts put together."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.errors import StoreError, UnavailableError
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.embedded.clocks import ServiceClock
from chronoprof_sidecar.store.embedded.database import Database, UnknownOutcomeError, UnusableDatabaseError
from chronoprof_sidecar.store.embedded.directories import make_directory, refusal
from chronoprof_sidecar.store.embedded.files import SaveDirectory, SaveLimits
from chronoprof_sidecar.store.embedded.memory import Memory
from chronoprof_sidecar.store.embedded.minutes import Minutes
from chronoprof_sidecar.store.embedded.overflow import OverflowLog
from chronoprof_sidecar.store.embedded.queue import JobQueue
from chronoprof_sidecar.store.embedded.records import MINUTE
from chronoprof_sidecar.store.embedded.recovery import UNKNOWN_SERVICE, Recovery, finish_rename, set_aside
from chronoprof_sidecar.store.embedded.store import EmbeddedStore, Parts
from chronoprof_sidecar.store.embedded.threads import Worker
from chronoprof_sidecar.store.embedded.upkeep import Upkeep
from chronoprof_sidecar.store.embedded.windows import Windows
from chronoprof_sidecar.store.embedded.writer import Writer

DATABASE_NAME = "chronoprof.db"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What stands on disk, opened and read."""

    database: Database
    saves: SaveDirectory
    memory: Memory
    service_minute: int
    minutes: Minutes


async def open_store(
    settings: Settings,
    *,
    clock_ns: Callable[[], int] = time.time_ns,
    monotonic: Callable[[], float] = time.monotonic,
) -> EmbeddedStore:
    """Open the store in `settings.data_dir`, making it if there is none, and replay what was not finished.

    Args:
        settings: which directory and which bounds.
        clock_ns: Unix time in nanoseconds.
        monotonic: seconds of a clock that never jumps.

    Raises:
        StoreError: the directory cannot be used; the message says what to do. Nothing was changed.
    """
    database_thread, files_thread = Worker("store-database"), Worker("store-files")
    try:
        loaded = await database_thread.run(_load, settings, clock_ns())
    except BaseException:
        database_thread.close()
        files_thread.close()
        raise
    memory, database, saves = loaded.memory, loaded.database, loaded.saves
    queue = JobQueue(settings.max_queue_bytes)
    service_clock = ServiceClock(loaded.service_minute, monotonic)
    upkeep = Upkeep(
        memory,
        database,
        database_thread,
        interval_seconds=settings.checkpoint_interval_seconds,
        minutes=loaded.minutes,
        clock_ns=clock_ns,
        monotonic=monotonic,
        service_clock=service_clock,
    )
    writer = Writer(
        queue=queue,
        memory=memory,
        database=database,
        thread=database_thread,
        upkeep=upkeep,
        overflow_log=OverflowLog(settings.max_functions, monotonic),
        max_functions=settings.max_functions,
        clock_ns=clock_ns,
        service_clock=service_clock,
    )
    windows = Windows(
        memory=memory,
        database=database,
        database_thread=database_thread,
        saves=saves,
        files_thread=files_thread,
        upkeep=upkeep,
        clock_ns=clock_ns,
    )
    return EmbeddedStore(
        Parts(memory, database, database_thread, saves, files_thread, queue, writer, windows, clock_ns)
    )


def _load(settings: Settings, now_ns: int) -> _Loaded:
    path = _prepare_directory(settings.data_dir) / DATABASE_NAME
    limits = SaveLimits(settings.max_saves, settings.max_saves_bytes, settings.keep_saves)
    try:
        try:
            return _read(settings, path, limits, now_ns)
        except UnusableDatabaseError as error:
            set_aside(path, now_ns, error)
        loaded = _read(settings, path, limits, now_ns)
    except (UnusableDatabaseError, UnavailableError, UnknownOutcomeError) as error:
        raise StoreError(f"cannot start on {path}: {error}") from error
    loaded.memory.losses[UNKNOWN_SERVICE] = Losses(set_aside=1)
    loaded.memory.dirty.losses.add(UNKNOWN_SERVICE)
    return loaded


def _read(settings: Settings, path: Path, limits: SaveLimits, now_ns: int) -> _Loaded:
    database = Database(path, durability=settings.durability, min_free_bytes=settings.min_free_bytes)
    try:
        saves = SaveDirectory(settings.save_dir, limits)
        memory = Memory(settings.max_senders)
        meta = Recovery(database, memory, now_ns).run()
        finish_rename(database, saves, meta)
        return _Loaded(database, saves, memory, int(meta.get("service_minute", 0)), _read_minutes(database, meta))
    except BaseException:
        database.close()
        raise


def _read_minutes(database: Database, meta: dict[str, int | str]) -> Minutes:
    try:
        return Minutes(int(number) for number in str(meta["minutes"]).split())
    except (KeyError, ValueError):  # not written yet, or damaged: their numbers are the next best order
        return Minutes(database.load_spans(MINUTE))


def _prepare_directory(path: Path) -> Path:
    try:
        make_directory(path)
    except OSError as error:
        raise StoreError(refusal("data", path, error)) from error
    return path
