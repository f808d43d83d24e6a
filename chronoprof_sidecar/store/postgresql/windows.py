"""Ending one window and beginning the next, whichever replica is told to.

Whoever counts holds the window's row FOR SHARE until its commit. So once it is held here, every batch is wholly in the
old window or will be wholly in the new one, and a save of it is all there will ever be of it. The table is locked
first: those who share a row may come and go past one who waits for it, but not past one who waits for its table.
"""

from asyncpg import Connection

from chronoprof_sidecar.domain.snapshot import Rotation
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import GenerationConflictError
from chronoprof_sidecar.store.postgresql.locks import UPKEEP, lock
from chronoprof_sidecar.store.postgresql.reading import read_window
from chronoprof_sidecar.store.postgresql.rows import WINDOW
from chronoprof_sidecar.store.postgresql.saves import write_save
from chronoprof_sidecar.store.save_rules import SaveLimits


async def reset_window(
    connection: Connection, now_ns: int, expected_generation: int | None, *, erase_history: bool
) -> int:
    """Begin a new window, and return its generation.

    Raises:
        GenerationConflictError: as `Store.reset`.
    """
    generation = await _hold_window(connection, expected_generation)
    if erase_history:
        await lock(connection, UPKEEP)
        await connection.execute("DELETE FROM stretches")
        for table in ("rows", "losses"):
            await connection.execute(f"DELETE FROM {table} WHERE kind <> $1", WINDOW)
    return await _begin_window(connection, generation + 1, now_ns)


async def rotate_window(
    connection: Connection, limits: SaveLimits, now_ns: int, name: str, expected_generation: int | None
) -> Rotation:
    """Save the window as `name` and begin a new one; the transaction holds the saves already.

    Raises:
        GenerationConflictError, FileExistsConflictError, SavesFullError: as `Store.rotate`.
    """
    generation = await _hold_window(connection, expected_generation)
    snapshot = await read_window(connection, Selection(), now_ns)
    save = await write_save(connection, limits, snapshot, name, overwrite=False)
    return Rotation(save, generation, await _begin_window(connection, generation + 1, now_ns))


async def _hold_window(connection: Connection, expected_generation: int | None) -> int:
    await connection.execute("LOCK TABLE current_window IN EXCLUSIVE MODE")
    generation: int = await connection.fetchval("SELECT generation FROM current_window FOR UPDATE")
    if expected_generation not in (None, generation):
        raise GenerationConflictError(f"the current generation is {generation}, not {expected_generation}")
    return generation


async def _begin_window(connection: Connection, generation: int, start_ns: int) -> int:
    await connection.execute("UPDATE current_window SET generation = $1, start_ns = $2", generation, start_ns)
    return generation
