"""Saves as rows of the database, in pieces: whole or not there, and the same for every replica.

Writing runs in a transaction of the caller, which holds all saves from its beginning: the check of a name and its
taking are one step.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import Final, Self

from asyncpg import Connection, Record

from chronoprof_sidecar.domain.snapshot import SaveInfo, Snapshot
from chronoprof_sidecar.domain.windows import EXPORT_ENDING
from chronoprof_sidecar.errors import FileExistsConflictError, NotFoundError
from chronoprof_sidecar.store.holdings import HeldSave
from chronoprof_sidecar.store.save_rules import SaveLimits
from chronoprof_sidecar.wire.saves import render_csv_save, render_json_save

_CHUNK_BYTES: Final = 256 * 1024

Reading = Callable[[], AbstractAsyncContextManager[Connection]]
"""Begins a transaction that reads."""


async def hold_saves(connection: Connection) -> None:
    """Keep others from writing saves until the transaction ends; to be its first statement.

    A lock of the table, since taking it does not yet fix which state of the database the transaction sees.
    """
    await connection.execute("LOCK TABLE saves IN SHARE ROW EXCLUSIVE MODE")


async def write_save(
    connection: Connection, limits: SaveLimits, snapshot: Snapshot, name: str, *, overwrite: bool
) -> SaveInfo:
    """Write a window as a save, and return what it is.

    Raises:
        FileExistsConflictError, SavesFullError: as `Store.save`.
    """
    present = await list_saves(connection)
    taken = any(info.name == name for info in present)
    if taken and not overwrite:
        raise FileExistsConflictError(f"{name} exists and is not overwritten")
    if not taken:
        limits.refuse_full(present)
    others = [info for info in present if info.name != name]
    render = render_csv_save if name.endswith(EXPORT_ENDING) else render_json_save
    outlived = {info.name for info in others[limits.keep_saves - 1 :]} if limits.keep_saves else set()
    await connection.execute("DELETE FROM saves WHERE name = ANY($1::text[])", [name, *outlived])
    # The newest even once a clock was set back, or the next save would be kept in place of this one.
    modified_ns = max([snapshot.taken_ns, *(info.modified_ns + 1 for info in others)])
    return await _insert(connection, name, modified_ns, render(snapshot))


async def import_save(connection: Connection, limits: SaveLimits, save: HeldSave) -> bool:
    """Write a save of elsewhere under its own name and age; return whether it was not there yet. Nothing is replaced.

    Raises:
        FileExistsConflictError: another save has its name.
        SavesFullError: as `Store.save`.
    """
    # Written even where nothing changes: what is there already may be on no standby yet, as with a sender's repeat.
    save_id = await connection.fetchval("UPDATE saves SET name = name WHERE name = $1 RETURNING id", save.name)
    if save_id is None:
        limits.refuse_full(await list_saves(connection))
        pieces = range(0, len(save.content), _CHUNK_BYTES)
        parts = (save.content[start : start + _CHUNK_BYTES] for start in pieces)
        await _insert(connection, save.name, save.modified_ns, parts)
        return True
    digest = await connection.fetchval(
        "SELECT sha256(coalesce(string_agg(content, '' ORDER BY number), '')) FROM save_chunks WHERE save_id = $1",
        save_id,
    )
    if digest != sha256(save.content).digest():
        raise FileExistsConflictError(f"there is another save {save.name} already: rename one of them")
    return False


async def list_saves(connection: Connection) -> list[SaveInfo]:
    """Return every save, newest first."""
    records = await connection.fetch("SELECT name, size_bytes, modified_ns FROM saves ORDER BY modified_ns DESC, name")
    return [SaveInfo(*record) for record in records]


async def find_save(connection: Connection, name: str) -> Record:
    """Return the row of one save.

    Raises:
        NotFoundError: no such save.
    """
    found = await connection.fetchrow("SELECT id, name, size_bytes, modified_ns FROM saves WHERE name = $1", name)
    if found is None:
        raise NotFoundError(f"there is no save {name}")
    return found


class StoredSave:
    """An open save, read piece by piece; a slow client holds no connection meanwhile."""

    def __init__(self, reading: Reading, found: Record) -> None:
        self._reading = reading
        self._id = found["id"]
        self.info = SaveInfo(found["name"], found["size_bytes"], found["modified_ns"])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the save's bytes.

        Raises:
            NotFoundError: it was replaced or deleted meanwhile.
        """
        left, number = self.info.size_bytes, 0
        while left:
            async with self._reading() as connection:
                chunk: bytes | None = await connection.fetchval(
                    "SELECT content FROM save_chunks WHERE save_id = $1 AND number = $2", self._id, number
                )
            if chunk is None:
                raise NotFoundError(f"the save {self.info.name} was replaced while it was read")
            yield chunk
            left, number = left - len(chunk), number + 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Nothing is held between two pieces."""


async def _insert(connection: Connection, name: str, modified_ns: int, parts: Iterator[bytes]) -> SaveInfo:
    save_id = await connection.fetchval(
        "INSERT INTO saves (name, size_bytes, modified_ns) VALUES ($1, 0, $2) RETURNING id", name, modified_ns
    )
    size_bytes = await _write_chunks(connection, save_id, parts)
    await connection.execute("UPDATE saves SET size_bytes = $2 WHERE id = $1", save_id, size_bytes)
    return SaveInfo(name, size_bytes, modified_ns)


async def _write_chunks(connection: Connection, save_id: int, parts: Iterator[bytes]) -> int:
    size_bytes = number = 0
    while chunk := await asyncio.to_thread(_join_some, parts):
        await connection.execute("INSERT INTO save_chunks VALUES ($1, $2, $3)", save_id, number, chunk)
        size_bytes, number = size_bytes + len(chunk), number + 1
    return size_bytes


def _join_some(parts: Iterator[bytes]) -> bytes:
    chunk = bytearray()
    for part in parts:
        chunk += part
        if len(chunk) >= _CHUNK_BYTES:
            break
    return bytes(chunk)
