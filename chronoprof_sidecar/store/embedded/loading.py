"""What stands on disk, opened and read: directory and lock, the database or what can be salvaged of it, recovery.

Everything here waits for the disk, so it runs in the database's own thread.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chronoprof_sidecar.errors import StoreError, UnavailableError
from chronoprof_sidecar.settings import Settings
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
from chronoprof_sidecar.store.embedded.records import HOUR
from chronoprof_sidecar.store.embedded.recovery import Recovery, finish_rename
from chronoprof_sidecar.store.embedded.salvage import finish_replacement, replace_damaged
from chronoprof_sidecar.store.embedded.sums import load_summed
from chronoprof_sidecar.store.save_rules import SaveLimits

DATABASE_NAME: Final = "chronoprof.db"


@dataclass(frozen=True, slots=True)
class Loaded:
    """All that an open store begins with."""

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


def load(settings: Settings, now_ns: int) -> Loaded:
    """Open what stands in `settings.data_dir`, making it if there is nothing, and replay what was not finished.

    Raises:
        StoreError: the directory cannot be used; the message says what to do. Nothing was changed.
    """
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


def _read_or_salvage(settings: Settings, path: Path, lock: DirectoryLock, now_ns: int) -> Loaded:
    def open_database(database_path: Path) -> Database:
        return Database(database_path, durability=settings.durability, min_free_bytes=settings.min_free_bytes)

    finish_replacement(path, now_ns)
    try:
        return _read(settings, open_database(path), lock, now_ns)
    except UnusableDatabaseError as error:
        replace_damaged(path, open_database, now_ns, error)
    return _read(settings, open_database(path), lock, now_ns)


def _read(settings: Settings, database: Database, lock: DirectoryLock, now_ns: int) -> Loaded:
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
        return Loaded(lock, database, saves, memory, service_minute, minutes, hours, erasing_hour, summed, left)
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
