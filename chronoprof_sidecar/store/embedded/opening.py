"""Opening an embedded store: directory, database, recovery, then all parts put together."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chronoprof_sidecar.errors import StoreError, UnavailableError
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.clocks import ServiceClock
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.directories import make_directory, refusal
from chronoprof_sidecar.store.embedded.failures import UnknownOutcomeError, UnusableDatabaseError
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.hours import Hours
from chronoprof_sidecar.store.embedded.leftovers import Leftovers, Stretch, load_leftovers
from chronoprof_sidecar.store.embedded.lock import DirectoryLock
from chronoprof_sidecar.store.embedded.memory import Memory
from chronoprof_sidecar.store.embedded.minutes import Minutes
from chronoprof_sidecar.store.embedded.missing import load_minutes
from chronoprof_sidecar.store.embedded.reading import HistoryReader
from chronoprof_sidecar.store.embedded.records import HOUR
from chronoprof_sidecar.store.embedded.recovery import Recovery, finish_rename
from chronoprof_sidecar.store.embedded.retention import Retention
from chronoprof_sidecar.store.embedded.salvage import finish_replacement, replace_damaged
from chronoprof_sidecar.store.embedded.store import EmbeddedStore, Parts
from chronoprof_sidecar.store.embedded.sums import Sums, load_summed
from chronoprof_sidecar.store.embedded.threads import Worker
from chronoprof_sidecar.store.embedded.upkeep import Upkeep
from chronoprof_sidecar.store.embedded.windows import Windows
from chronoprof_sidecar.store.embedded.writer import Writer
from chronoprof_sidecar.store.overflow import OverflowLog
from chronoprof_sidecar.store.queue import JobQueue
from chronoprof_sidecar.store.save_rules import SaveLimits

DATABASE_NAME = "chronoprof.db"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What stands on disk, opened and read."""

    lock: DirectoryLock
    database: Database
    saves: SaveDirectory
    memory: Memory
    service_minute: int
    minutes: Minutes
    hours: Hours
    erasing_hour: int | None
    summed: list[Stretch]
    leftovers: Leftovers


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
    sums = Sums(database, database_thread, loaded.minutes, loaded.hours)
    sums.find_missing(loaded.summed)
    retention = Retention(
        database,
        database_thread,
        loaded.minutes,
        loaded.hours,
        sums,
        erasing=loaded.erasing_hour,
        max_bytes=settings.max_history_bytes,
        clock_ns=clock_ns,
    )
    upkeep = Upkeep(
        memory,
        database,
        database_thread,
        interval_seconds=settings.checkpoint_interval_seconds,
        retention=retention,
        leftovers=loaded.leftovers,
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
    reader = HistoryReader(
        database=database,
        thread=database_thread,
        queue=queue,
        upkeep=upkeep,
        retention=retention,
        leftovers=loaded.leftovers,
        max_functions=settings.max_functions,
    )
    return EmbeddedStore(
        Parts(
            loaded.lock,
            memory,
            database,
            database_thread,
            saves,
            files_thread,
            queue,
            writer,
            windows,
            upkeep,
            reader,
            clock_ns,
        )
    )


def _load(settings: Settings, now_ns: int) -> _Loaded:
    path = _prepare_directory(settings.data_dir) / DATABASE_NAME
    lock = DirectoryLock(settings.data_dir)
    try:
        return _read_or_salvage(settings, path, lock, now_ns)
    except (UnusableDatabaseError, UnavailableError, UnknownOutcomeError, OSError) as error:
        lock.close()
        raise StoreError(f"cannot start on {path}: {error}") from error
    except BaseException:
        lock.close()
        raise


def _read_or_salvage(settings: Settings, path: Path, lock: DirectoryLock, now_ns: int) -> _Loaded:
    def open_database(database_path: Path) -> Database:
        return Database(database_path, durability=settings.durability, min_free_bytes=settings.min_free_bytes)

    finish_replacement(path, now_ns)
    try:
        return _read(settings, open_database(path), lock, now_ns)
    except UnusableDatabaseError as error:
        replace_damaged(path, open_database, now_ns, error)
    return _read(settings, open_database(path), lock, now_ns)


def _read(settings: Settings, database: Database, lock: DirectoryLock, now_ns: int) -> _Loaded:
    try:
        saves = SaveDirectory(
            settings.save_dir, SaveLimits(settings.max_saves, settings.max_saves_bytes, settings.keep_saves)
        )
        memory = Memory(settings.max_senders)
        meta = Recovery(database, memory, now_ns).run()
        finish_rename(database, saves, meta)
        service_minute = int(meta.get("service_minute", 0))
        minutes, hours = load_minutes(database), _read_hours(database, meta)
        erasing = meta.get("erasing_hour", "")
        erasing_hour = None if erasing == "" else int(erasing)
        summed, left = load_summed(database), load_leftovers(database)
        return _Loaded(lock, database, saves, memory, service_minute, minutes, hours, erasing_hour, summed, left)
    except BaseException:
        database.close()
        raise


def _read_hours(database: Database, meta: dict[str, int | str]) -> Hours:
    try:
        return Hours.read(str(meta["hours"]))
    except KeyError:
        return Hours.whole(database.load_spans(HOUR))


def _prepare_directory(path: Path) -> Path:
    try:
        make_directory(path)
    except OSError as error:
        raise StoreError(refusal("data", path, error)) from error
    return path
