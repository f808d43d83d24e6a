"""The fleet store's face: the store contract over PostgreSQL. A replica keeps nothing that the database does not have.

A batch's way: `ingest` -> queue -> writer -> merge, committed on a quorum -> `Outcome`. Each kind of work has a
connection of its own, so that neither batches nor short answers wait for a long one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final

from asyncpg import Connection

from chronoprof_sidecar.domain.batch import Batch, Outcome
from chronoprof_sidecar.domain.figures import StoreFigures
from chronoprof_sidecar.domain.history import History, HistoryQuery
from chronoprof_sidecar.domain.senders import Sender
from chronoprof_sidecar.domain.snapshot import Rotation, SaveInfo, Snapshot
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.postgresql.figures import FigureReader
from chronoprof_sidecar.store.postgresql.link import Link
from chronoprof_sidecar.store.postgresql.merging import Merger
from chronoprof_sidecar.store.postgresql.reading import read_history, read_window
from chronoprof_sidecar.store.postgresql.saves import StoredSave, find_save, hold_saves, list_saves, write_save
from chronoprof_sidecar.store.postgresql.senders import read_senders
from chronoprof_sidecar.store.postgresql.upkeep import Upkeep
from chronoprof_sidecar.store.postgresql.windows import reset_window, rotate_window
from chronoprof_sidecar.store.postgresql.writer import Writer
from chronoprof_sidecar.store.queue import IngestJob, JobQueue
from chronoprof_sidecar.store.save_rules import SaveLimits, check_save_name, name_by_time

READ_SECONDS: Final = 30.0
CHANGE_SECONDS: Final = 60.0
_ONE_STATE: Final = "ISOLATION LEVEL REPEATABLE READ"


class PostgresqlStore(Store):
    """One replica's view of the table that all replicas share."""

    def __init__(  # noqa: PLR0913  its parts, one link per kind of work
        self,
        *,
        queue: JobQueue,
        merger: Merger,
        upkeep: Upkeep,
        reader: Link,
        historian: Link,
        saver: Link,
        tender: Link,
        save_limits: SaveLimits,
        max_functions: int,
        clock_ns: Callable[[], int],
    ) -> None:
        self._queue = queue
        self._writer = Writer(queue, merger)
        self._merger = merger
        self._upkeep = upkeep
        self._reader = reader
        self._historian = historian
        self._saver = saver
        self._figures = FigureReader()
        self._links = (merger.link, reader, historian, saver, tender)
        self._save_limits = save_limits
        self._max_functions = max_functions
        self._clock_ns = clock_ns
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._tasks = [
            asyncio.create_task(self._run(self._writer.run), name="store-writer"),
            asyncio.create_task(self._run(upkeep.run), name="store-upkeep"),
        ]

    async def ingest(self, batch: Batch) -> Outcome:
        """Count `batch`; see `Store.ingest`."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._writer.refuse_while_away()
        self._queue.put(IngestJob(batch, outcome))
        return await outcome

    async def snapshot(self, selection: Selection) -> Snapshot:
        """Return rows as of now; see `Store.snapshot`."""
        async with self._reading() as connection:
            return await read_window(connection, selection, self._clock_ns())

    async def history(self, query: HistoryQuery) -> History:
        """Return the steps of a span; see `Store.history`."""
        async with self._reading(self._historian, CHANGE_SECONDS) as connection:
            return await read_history(connection, query, self._max_functions)

    async def reset(self, expected_generation: int | None = None, *, erase_history: bool = False) -> int:
        """Begin a new window; see `Store.reset`."""
        self._writer.refuse_while_away()
        generation: int = await self._queue.run(partial(self._reset, expected_generation, erase_history=erase_history))
        return generation

    async def save(self, name: str | None = None, *, overwrite: bool = True) -> SaveInfo:
        """Write the window to a save; see `Store.save`."""
        self._queue.refuse_when_closed()
        self._writer.refuse_while_away()
        taken_ns = self._clock_ns()
        name = name_by_time(taken_ns) if name is None else name
        check_save_name(name)
        async with self._saver.transaction(CHANGE_SECONDS, _ONE_STATE) as connection:
            await hold_saves(connection)
            snapshot = await read_window(connection, Selection(), taken_ns)
            return await write_save(connection, self._save_limits, snapshot, name, overwrite=overwrite)

    async def rotate(self, name: str | None = None, *, expected_generation: int | None = None) -> Rotation:
        """Save and reset as one step; see `Store.rotate`."""
        save_name = name_by_time(self._clock_ns()) if name is None else name
        check_save_name(save_name, loadable=True)
        self._writer.refuse_while_away()
        rotation: Rotation = await self._queue.run(partial(self._rotate, save_name, expected_generation))
        return rotation

    async def saves(self) -> list[SaveInfo]:
        """Return every save; see `Store.saves`."""
        async with self._reading() as connection:
            return await list_saves(connection)

    async def open_save(self, name: str) -> StoredSave:
        """Open one save; see `Store.open_save`."""
        check_save_name(name)
        async with self._reading() as connection:
            return StoredSave(self._reading, await find_save(connection, name))

    async def senders(self) -> list[Sender]:
        """Return every sender; see `Store.senders`."""
        async with self._reading() as connection:
            return await read_senders(connection)

    async def figures(self) -> StoreFigures:
        """Return how the store is doing; see `Store.figures`. It has no journal of its own."""
        waiting = len(self._queue), self._queue.size_bytes
        async with self._reading() as connection:
            return StoreFigures(*await self._figures.read(connection), *waiting, journal_bytes=0)

    def unready_reason(self) -> str | None:
        """Say why batches cannot be taken; see `Store.unready_reason`."""
        return self._queue.refusal or self._merger.link.away

    async def failure(self) -> BaseException:
        """Wait for the store to fail; see `Store.failure`. A database that is away is none: it comes back."""
        return await asyncio.shield(self._failure)

    def refuse(self) -> None:
        """Take no more; see `Store.refuse`."""
        self._queue.refuse("the sidecar is stopping")

    async def close(self) -> None:
        """Finish and let go; see `Store.close`."""
        self.refuse()
        self._upkeep.end()
        await asyncio.gather(*self._tasks)
        for link in self._links:
            await link.close()
        self._failure.cancel()

    def _reading(
        self, link: Link | None = None, seconds: float | None = None
    ) -> AbstractAsyncContextManager[Connection]:
        """Begin to read; refused while the database is away, or every answer would wait until its time is up."""
        self._writer.refuse_while_away()
        return (link or self._reader).reading(seconds or READ_SECONDS)

    async def _reset(self, expected_generation: int | None, *, erase_history: bool) -> int:
        async with self._merger.link.transaction(CHANGE_SECONDS) as connection:
            return await reset_window(connection, self._clock_ns(), expected_generation, erase_history=erase_history)

    async def _rotate(self, name: str, expected_generation: int | None) -> Rotation:
        async with self._merger.link.transaction(CHANGE_SECONDS, _ONE_STATE) as connection:
            await hold_saves(connection)
            return await rotate_window(connection, self._save_limits, self._clock_ns(), name, expected_generation)

    async def _run(self, task: Callable[[], Awaitable[None]]) -> None:
        try:
            await task()
        except Exception as error:  # noqa: BLE001  whatever it is, this process may no longer answer for the store
            self._queue.fail("the sidecar lost its store and restarts")
            if not self._failure.done():
                self._failure.set_result(error)
