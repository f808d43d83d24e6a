"""Windows by name, read from wherever they are: saves, the current window, a version in it, the history."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.history import covering
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.spans import Period
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.domain.windows import (
    LiveWindow,
    SavedWindow,
    cut_to_rows,
    narrow,
    parse_window,
    window_of,
)
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.server.context import REPORTS, SPANS, STORE
from chronoprof_sidecar.store.contract import HistoryQuery, Store
from chronoprof_sidecar.wire.saves import load_save

MAX_SAVE_BYTES: Final = 64 * 1024 * 1024
"""Of a save that is loaded into memory: twice what 10 000 functions of 300 buckets have."""


@asynccontextmanager
async def reading_windows(
    app: web.Application, texts: Sequence[str], service: str | None
) -> AsyncIterator[list[Snapshot]]:
    """Read the windows that `texts` name, of one service or all, and hold a permit of `REPORTS` while they are used.

    Spans are read before, with a permit of `SPANS`, since that may take seconds in which other reports need not wait.

    Raises:
        MalformedRequestError: one names no window, or a save that cannot be loaded.
        NotFoundError: there is no such save.
        UnavailableError: the history cannot be read.
    """
    store, selection, now_ns = app[STORE], Selection(service=service), time.time_ns()
    names = [parse_window(text, now_ns) for text in texts]
    periods = dict.fromkeys(name for name in names if isinstance(name, Period))
    spans: dict[Period, Snapshot] = {}
    async with app[SPANS] if periods else nullcontext():
        for period in periods:
            history = await store.history(HistoryQuery(selection, covering(*period)))
            spans[period] = window_of(history, service, now_ns)
        async with app[REPORTS]:
            yield [
                spans[name] if isinstance(name, Period) else await _read_whole(store, name, selection) for name in names
            ]


async def _read_whole(store: Store, name: SavedWindow | LiveWindow, selection: Selection) -> Snapshot:
    if isinstance(name, SavedWindow):
        content = await _read_save(store, name.name)
        return await asyncio.to_thread(_load, name.name, content, selection)
    window = await store.snapshot(replace(selection, version=name.version))
    return window if name.version is None else cut_to_rows(window)


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
