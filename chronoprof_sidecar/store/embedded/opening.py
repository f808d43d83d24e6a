"""Opening an embedded store: its two threads, and all parts put together around what stands on disk."""

import time
from collections.abc import Callable

from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.clocks import Clocks, ServiceClock
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.loading import Loaded, load
from chronoprof_sidecar.store.embedded.reading import HistoryReader
from chronoprof_sidecar.store.embedded.retention import Retention
from chronoprof_sidecar.store.embedded.store import EmbeddedStore, Parts
from chronoprof_sidecar.store.embedded.sums import Sums
from chronoprof_sidecar.store.embedded.threads import Confined, Worker
from chronoprof_sidecar.store.embedded.upkeep import Upkeep
from chronoprof_sidecar.store.embedded.windows import Windows
from chronoprof_sidecar.store.embedded.writer import Writer
from chronoprof_sidecar.store.overflow import OverflowLog
from chronoprof_sidecar.store.queue import JobQueue


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
        loaded = await database_thread.run(load, settings, clock_ns())
    except BaseException:
        database_thread.close()
        files_thread.close()
        raise
    return _put_together(
        settings,
        loaded,
        Confined(loaded.database, database_thread),
        Confined(loaded.saves, files_thread),
        Clocks(clock_ns, monotonic, ServiceClock(loaded.service_minute, monotonic)),
    )


def _put_together(
    settings: Settings, loaded: Loaded, database: Confined[Database], saves: Confined[SaveDirectory], clocks: Clocks
) -> EmbeddedStore:
    memory, leftovers = loaded.memory, loaded.leftovers
    queue = JobQueue(settings.max_queue_bytes)
    sums = Sums(database, loaded.minutes, loaded.hours)
    sums.find_missing(loaded.summed)
    retention = Retention(
        database,
        loaded.minutes,
        loaded.hours,
        sums,
        erasing=loaded.erasing_hour,
        max_bytes=settings.max_history_bytes,
        clock_ns=clocks.wall_ns,
    )
    upkeep = Upkeep(
        memory,
        database,
        interval_seconds=settings.checkpoint_interval_seconds,
        retention=retention,
        leftovers=leftovers,
        clocks=clocks,
    )
    return EmbeddedStore(
        Parts(
            lock=loaded.lock,
            memory=memory,
            database=database,
            saves=saves,
            queue=queue,
            writer=Writer(
                queue=queue,
                memory=memory,
                database=database,
                upkeep=upkeep,
                overflow_log=OverflowLog(settings.max_functions, clocks.monotonic),
                max_functions=settings.max_functions,
                clocks=clocks,
            ),
            windows=Windows(memory=memory, database=database, saves=saves, upkeep=upkeep, clock_ns=clocks.wall_ns),
            upkeep=upkeep,
            history=HistoryReader(
                database=database,
                queue=queue,
                upkeep=upkeep,
                retention=retention,
                leftovers=leftovers,
                max_functions=settings.max_functions,
            ),
            clock_ns=clocks.wall_ns,
        )
    )
