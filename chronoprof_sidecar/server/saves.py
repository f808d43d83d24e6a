"""`POST save`, `POST rotate` and the saved files.

Names of files are judged by the store, which alone knows the directory.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.windows import EXPORT_ENDING, SAVE_ENDING
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import REQUEST_ID_HEADER
from chronoprof_sidecar.server.answers import answer_json, begin_stream
from chronoprof_sidecar.server.context import REPORTS, REQUEST_ID, STORE
from chronoprof_sidecar.server.query import flag, read_query, whole_number
from chronoprof_sidecar.server.windows import reading_windows
from chronoprof_sidecar.wire.reports import render_rotation, render_save, render_saves
from chronoprof_sidecar.wire.saves import render_json_save

CHUNK_BYTES: Final = 256 * 1024
"""Of a window that no file holds: some milliseconds of rendering, and all that is held of its text for a client."""
SAVE_PARAMETERS: Final = ("file_path", "overwrite")
WINDOW_PARAMETERS: Final = ("service",)
ROTATE_PARAMETERS: Final = ("file_path", "generation")


async def post_save(request: web.Request) -> web.Response:
    """Save the current window to a file, and answer once file and directory are synced."""
    query = read_query(request, SAVE_PARAMETERS)
    save = await request.app[STORE].save(query.get("file_path"), overwrite=flag(query, "overwrite", default=True))
    return answer_json(render_save(save))


async def post_rotate(request: web.Request) -> web.Response:
    """Save the current window and begin a new one, as one step."""
    query = read_query(request, ROTATE_PARAMETERS)
    rotation = await request.app[STORE].rotate(
        query.get("file_path"), expected_generation=whole_number(query, "generation")
    )
    return answer_json(render_rotation(rotation))


async def get_saves(request: web.Request) -> web.Response:
    """List the saved files, newest first."""
    read_query(request)
    return answer_json(render_saves(await request.app[STORE].saves()))


async def get_save(request: web.Request) -> web.StreamResponse:
    """Stream one saved file; what names a window and no file is answered as if it had been saved now."""
    name = request.match_info["name"]
    if not name.endswith((SAVE_ENDING, EXPORT_ENDING)):
        return await _answer_unsaved(request, name)
    if read_query(request, WINDOW_PARAMETERS):
        raise MalformedRequestError("service is for windows that no file holds; a file is answered whole")
    async with await request.app[STORE].open_save(name) as content:
        headers = {
            "Content-Type": "text/csv; charset=utf-8" if name.endswith(EXPORT_ENDING) else "application/json",
            "Content-Length": str(content.info.size_bytes),
            # An attachment, so that no browser shows a file of foreign names as a page; the name needs no quoting.
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        return await _stream(request, headers, content.chunks())


async def _answer_unsaved(request: web.Request, name: str) -> web.StreamResponse:
    service = read_query(request, WINDOW_PARAMETERS).get("service")
    async with reading_windows(request.app, [name], service) as (window,):
        parts = render_json_save(window)
    return await _stream(request, {"Content-Type": "application/json"}, _render(parts, request.app[REPORTS]))


async def _render(parts: Iterator[bytes], reports: asyncio.Semaphore) -> AsyncIterator[bytes]:
    """Yield chunks, each made in a thread and under a permit, which is not held while a client takes its time."""
    while True:
        async with reports:
            chunk = await asyncio.to_thread(_join_some, parts)
        if not chunk:
            return
        yield chunk


def _join_some(parts: Iterator[bytes]) -> bytes:
    chunk = bytearray()
    for part in parts:
        chunk += part
        if len(chunk) >= CHUNK_BYTES:
            break
    return bytes(chunk)


async def _stream(request: web.Request, headers: Mapping[str, str], chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    answer = begin_stream({**headers, REQUEST_ID_HEADER: request[REQUEST_ID]})
    await answer.prepare(request)
    if request.method != "HEAD":
        await _write(request, answer, chunks)
    await answer.write_eof()
    return answer


async def _write(request: web.Request, answer: web.StreamResponse, chunks: AsyncIterator[bytes]) -> None:
    try:
        async for chunk in chunks:
            await answer.write(chunk)
    except Exception:
        # A part of it is out, so no error can follow it; a broken connection is what the client understands.
        if request.transport is not None:
            request.transport.abort()
        raise
