"""Windows by name, read from wherever they are: saves, the current window, a version in it, the history."""

import asyncio
import time
from typing import Final

from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.domain.windows import (
    LiveWindow,
    SavedWindow,
    cut_to_rows,
    minutes_of,
    narrow,
    parse_window,
    window_of,
)
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.store.contract import HistoryQuery, Store
from chronoprof_sidecar.wire.saves import load_save

MAX_SAVE_BYTES: Final = 64 * 1024 * 1024
"""Of a save that is loaded into memory: twice what 10 000 functions of 300 buckets have."""


async def read_window(store: Store, text: str, service: str | None = None) -> Snapshot:
    """Return the window that `text` names, of one service or all.

    Raises:
        MalformedRequestError: it names none, or a save that cannot be loaded.
        NotFoundError: there is no such save.
        UnavailableError: the history cannot be read.
    """
    now_ns = time.time_ns()
    name = parse_window(text, now_ns)
    if isinstance(name, SavedWindow):
        content = await _read_save(store, name.name)
        return await asyncio.to_thread(_load, name.name, content, Selection(service=service))
    if isinstance(name, LiveWindow):
        window = await store.snapshot(Selection(service=service, version=name.version))
        return window if name.version is None else cut_to_rows(window)
    history = await store.history(HistoryQuery(Selection(service=service), minutes_of(name)))
    return window_of(history, service, now_ns)


async def _read_save(store: Store, name: str) -> bytes:
    async with await store.open_save(name) as content:
        if content.info.size_bytes > MAX_SAVE_BYTES:
            raise MalformedRequestError(f"{name} is too large to be loaded here: `chronoprof compare` takes its file")
        return b"".join([chunk async for chunk in content.chunks()])


def _load(name: str, content: bytes, selection: Selection) -> Snapshot:
    try:
        return narrow(load_save(content), selection)
    except MalformedRequestError as error:
        raise MalformedRequestError(f"{name}: {error}") from error
