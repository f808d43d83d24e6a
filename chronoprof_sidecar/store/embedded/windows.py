"""Ending one window and beginning the next: reset and rotate.

Both run alone in the writer, so every batch is wholly in the old window or wholly in the new one. A rotate changes
file and generation together:

    1  write and sync a temporary file      crash: the old window goes on; a start deletes the temporary file
    2  commit generation + pending rename   crash: a start finishes the rename
    3  rename, sync the directory           crash: the same; the rename finds nothing left to do
    4  clear the pending rename             done
"""

from collections.abc import Callable
from contextlib import suppress

from chronoprof_sidecar.domain.snapshot import Rotation
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import GenerationConflictError, UnavailableError
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.failures import UnknownOutcomeError
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.leftovers import Leftovers
from chronoprof_sidecar.store.embedded.memory import Memory
from chronoprof_sidecar.store.embedded.threads import Confined
from chronoprof_sidecar.store.embedded.upkeep import Upkeep
from chronoprof_sidecar.wire.saves import render_json_save


class Windows:
    """Begins windows; every method is to be run by the writer, alone."""

    def __init__(
        self,
        *,
        memory: Memory,
        database: Confined[Database],
        saves: Confined[SaveDirectory],
        upkeep: Upkeep,
        clock_ns: Callable[[], int],
    ) -> None:
        self._memory = memory
        self._database = database
        self._saves = saves
        self._upkeep = upkeep
        self._clock_ns = clock_ns

    async def reset(self, expected_generation: int | None, *, erase_history: bool) -> int:
        """Begin a new window, and return its generation.

        Raises:
            GenerationConflictError, UnavailableError: as `Store.reset`.
            UnknownOutcomeError: as `Database.transaction`.
        """
        self._refuse_other_generation(expected_generation)
        erased = self._upkeep.stored_history() if erase_history else None
        await self._begin_window(self._clock_ns(), pending_rename=None, erased=erased)
        if erased is not None:
            self._memory.dirty.minutes.clear()
            self._upkeep.note_history_erased(erased)
        return self._memory.generation

    async def rotate(self, name: str, expected_generation: int | None) -> Rotation:
        """Save the window as `name` and begin a new one, as one step.

        Raises:
            GenerationConflictError, FileExistsConflictError, SavesFullError, UnavailableError: as `Store.rotate`.
            UnknownOutcomeError: as `Database.transaction`, or the file could not be given its name after the commit;
                the next start will.
        """
        self._refuse_other_generation(expected_generation)
        await self._saves.run(SaveDirectory.refuse, name, overwrite=False)
        snapshot = self._memory.snapshot(Selection(), self._clock_ns())
        saved_generation = snapshot.generation
        temporary = await self._saves.run(SaveDirectory.write_temporary, render_json_save(snapshot))
        try:
            await self._begin_window(snapshot.taken_ns, pending_rename=f"{temporary}/{name}")
        except UnavailableError:
            await self._saves.run(SaveDirectory.discard, temporary)
            raise
        try:
            info = await self._saves.run(SaveDirectory.publish, temporary, name)
        except OSError as error:
            raise UnknownOutcomeError(f"the save {name} could not be given its name: {error}") from error
        with suppress(UnavailableError):  # then the next start finds the rename done
            await self._database.run(_clear_pending)
        return Rotation(info, saved_generation, self._memory.generation)

    def _refuse_other_generation(self, expected: int | None) -> None:
        current = self._memory.generation
        if expected not in (None, current):
            raise GenerationConflictError(f"the current generation is {current}, not {expected}")

    async def _begin_window(
        self, start_ns: int, *, pending_rename: str | None, erased: Leftovers | None = None
    ) -> None:
        generation = self._memory.generation + 1
        values: dict[str, int | str] = {"generation": generation, "window_start_ns": start_ns, "window_rows": 0}
        if pending_rename is not None:
            values["pending_rename"] = pending_rename
        if erased is not None:
            values |= {"history_erased_lsn": self._memory.lsn, "minutes": "", "hours": "", "erasing_hour": ""}
            values["left"] = str(erased)
        await self._database.run(_write_window, values)
        self._memory.begin_window(generation, start_ns)
        self._upkeep.note_window_ended()


def _write_window(database: Database, values: dict[str, int | str]) -> None:
    with database.transaction():
        database.write_meta(**values)


def _clear_pending(database: Database) -> None:
    with database.transaction():
        database.write_meta(pending_rename="")
