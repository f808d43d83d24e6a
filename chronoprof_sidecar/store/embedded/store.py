"""The embedded store's face: the store contract, wired to its parts.

A batch's way: `ingest` -> queue -> writer -> journal commit -> memory -> `Outcome`. Reading looks at memory, which
holds exactly what was acknowledged; it needs no turn in the queue.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, Self

from chronoprof_sidecar.domain.batch import Batch, Outcome
from chronoprof_sidecar.domain.figures import StoreFigures
from chronoprof_sidecar.domain.history import History, HistoryQuery
from chronoprof_sidecar.domain.senders import Sender
from chronoprof_sidecar.domain.snapshot import Rotation, SaveInfo, Snapshot
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.domain.windows import EXPORT_ENDING
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.failures import UnknownOutcomeError, UnusableDatabaseError
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.lock import DirectoryLock
from chronoprof_sidecar.store.embedded.memory import Memory
from chronoprof_sidecar.store.embedded.reading import HistoryReader
from chronoprof_sidecar.store.embedded.threads import Confined
from chronoprof_sidecar.store.embedded.upkeep import Upkeep
from chronoprof_sidecar.store.embedded.windows import Windows
from chronoprof_sidecar.store.embedded.writer import Writer
from chronoprof_sidecar.store.queue import IngestJob, JobQueue
from chronoprof_sidecar.store.save_rules import check_save_name, name_by_time
from chronoprof_sidecar.wire.saves import render_csv_save, render_json_save

_CHUNK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything an open store consists of; `opening.open_store` makes it."""

    lock: DirectoryLock
    memory: Memory
    database: Confined[Database]
    saves: Confined[SaveDirectory]
    queue: JobQueue
    writer: Writer
    windows: Windows
    upkeep: Upkeep
    history: HistoryReader
    clock_ns: Callable[[], int]


class EmbeddedStore(Store):
    """A store in one directory of one machine, for one process."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._memory = parts.memory
        self._queue = parts.queue
        self._failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._writing = asyncio.create_task(self._write(), name="store-writer")

    async def ingest(self, batch: Batch) -> Outcome:
        """Count `batch`; see `Store.ingest`."""
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._queue.put(IngestJob(batch, outcome))
        return await outcome

    async def snapshot(self, selection: Selection) -> Snapshot:
        """Return rows as of now; see `Store.snapshot`."""
        return self._memory.snapshot(selection, self._parts.clock_ns())

    async def history(self, query: HistoryQuery) -> History:
        """Return the steps of a span; see `Store.history`."""
        try:
            return await self._parts.history.read(query)
        except (UnusableDatabaseError, UnknownOutcomeError) as error:
            await self._queue.run(partial(_fail_with, error))
            raise

    async def reset(self, expected_generation: int | None = None, *, erase_history: bool = False) -> int:
        """Begin a new window; see `Store.reset`."""
        windows = self._parts.windows
        async with self._parts.history.undisturbed() if erase_history else nullcontext():
            generation: int = await self._queue.run(
                lambda: windows.reset(expected_generation, erase_history=erase_history)
            )
            return generation

    async def save(self, name: str | None = None, *, overwrite: bool = True) -> SaveInfo:
        """Write the window to a file; see `Store.save`."""
        self._queue.refuse_when_closed()
        taken_ns = self._parts.clock_ns()
        name = name_by_time(taken_ns) if name is None else name
        check_save_name(name)
        snapshot = self._memory.snapshot(Selection(), taken_ns)
        return await self._parts.saves.run(_write_save, snapshot, name, overwrite)

    async def rotate(self, name: str | None = None, *, expected_generation: int | None = None) -> Rotation:
        """Save and reset as one step; see `Store.rotate`."""
        save_name = name_by_time(self._parts.clock_ns()) if name is None else name
        check_save_name(save_name, loadable=True)
        windows = self._parts.windows
        rotation: Rotation = await self._queue.run(lambda: windows.rotate(save_name, expected_generation))
        return rotation

    async def saves(self) -> list[SaveInfo]:
        """Return every save; see `Store.saves`."""
        return await self._parts.saves.run(SaveDirectory.list)

    async def open_save(self, name: str) -> "OpenSave":
        """Open one save; see `Store.open_save`."""
        descriptor, info = await self._parts.saves.run(SaveDirectory.open, name)
        return OpenSave(descriptor, info)

    async def senders(self) -> list[Sender]:
        """Return every sender; see `Store.senders`."""
        return list(self._memory.senders)

    async def figures(self) -> StoreFigures:
        """Return how the store is doing; see `Store.figures`."""
        memory, queue = self._memory, self._queue
        return StoreFigures(
            generation=memory.generation,
            rows=memory.window.size,
            overflowed=sum(losses.overflowed for losses in memory.losses.values()),
            senders=len(memory.senders),
            waiting_batches=len(queue),
            waiting_bytes=queue.size_bytes,
            journal_bytes=self._parts.upkeep.journal_bytes,
        )

    def unready_reason(self) -> str | None:
        """Say why batches cannot be taken; see `Store.unready_reason`."""
        return self._queue.refusal or self._parts.database.thing.full_disk_reason()

    async def failure(self) -> BaseException:
        """Wait for the store to fail; see `Store.failure`."""
        return await asyncio.shield(self._failure)

    def refuse(self) -> None:
        """Take no more; see `Store.refuse`."""
        self._queue.refuse("the sidecar is stopping")

    async def close(self) -> None:
        """Finish and let go; see `Store.close`."""
        self.refuse()
        await self._writing
        await self._parts.database.close()
        await self._parts.saves.close()
        self._parts.lock.close()
        self._failure.cancel()

    async def _write(self) -> None:
        try:
            await self._parts.writer.run()
        except Exception as error:  # noqa: BLE001  whatever it is, this process may no longer answer for the store
            self._queue.fail("the sidecar lost its store and restarts")
            self._failure.set_result(error)


class OpenSave:
    """An open save, read in pieces off the event loop."""

    def __init__(self, descriptor: int, info: SaveInfo) -> None:
        self._descriptor = descriptor
        self.info = info

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes."""
        while chunk := await asyncio.to_thread(os.read, self._descriptor, _CHUNK_BYTES):
            yield chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        os.close(self._descriptor)


async def _fail_with(error: Exception) -> None:
    """End the writer as an error of its own does: whoever waits is told to come again, to a store that was salvaged."""
    raise error


def _write_save(saves: SaveDirectory, snapshot: Snapshot, name: str, overwrite: bool) -> SaveInfo:
    """Write a whole save; runs in the files' thread, so no other save comes between the check and the rename."""
    saves.refuse(name, overwrite=overwrite)
    render = render_csv_save if name.endswith(EXPORT_ENDING) else render_json_save
    return saves.write(name, render(snapshot))
