"""`GET compare`: two windows side by side."""

import asyncio
from functools import partial
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.compare import compare, largest_first, side_of
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import MAX_NAME_LENGTH
from chronoprof_sidecar.server.answers import answer_json
from chronoprof_sidecar.server.query import Query, read_query, text, whole_number
from chronoprof_sidecar.server.windows import reading_windows
from chronoprof_sidecar.wire.comparisons import NamedWindow, report_comparison
from chronoprof_sidecar.wire.reports import render

COMPARE_PARAMETERS: Final = ("base", "head", "service", "match", "min_calls", "limit")


async def get_compare(request: web.Request) -> web.Response:
    """Report what changed from one window to another, the largest change first."""
    query = read_query(request, COMPARE_PARAMETERS)
    names = [_window_name(query, side) for side in ("base", "head")]
    render_changes = partial(
        _compare,
        only=text(query, "match", MAX_NAME_LENGTH),
        min_calls=whole_number(query, "min_calls") or 1,
        limit=whole_number(query, "limit"),
    )
    async with reading_windows(request.app, names, query.get("service")) as windows:
        return answer_json(await asyncio.to_thread(render_changes, *map(NamedWindow, names, windows)))


def _window_name(query: Query, side: str) -> str:
    name = text(query, side, MAX_NAME_LENGTH)
    if name is None:
        raise MalformedRequestError(f"{side} is missing: it says which window to compare")
    return name


def _compare(base: NamedWindow, head: NamedWindow, *, only: str | None, min_calls: int, limit: int | None) -> bytes:
    sides = side_of(base.window), side_of(head.window)
    names = largest_first(*sides, only=only)
    changes = compare(*sides, names[:limit], min_calls=min_calls)
    return render(report_comparison(base, head, changes, len(names)))
