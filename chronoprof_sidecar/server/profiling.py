"""`GET data` and `POST reset`: the current window."""

import asyncio
import time
from functools import partial
from typing import Any, Final

from aiohttp import web

from chronoprof_sidecar.domain.history import HistoryQuery, Span
from chronoprof_sidecar.domain.ordering import NAME_COLUMN, SORT_COLUMNS
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import GENERATION_HEADER
from chronoprof_sidecar.server.answers import answer_json, answer_nothing
from chronoprof_sidecar.server.context import REPORTS, SPANS, STORE
from chronoprof_sidecar.server.query import Query, choice, flag, read_query, whole_number
from chronoprof_sidecar.server.selecting import SELECTION_PARAMETERS, SPAN_PARAMETERS, read_selection, read_span
from chronoprof_sidecar.wire.history_reports import render_span
from chronoprof_sidecar.wire.reports import render_data
from chronoprof_sidecar.wire.rows import DEFAULT_SORT

DATA_PARAMETERS: Final = (
    *SELECTION_PARAMETERS,
    *SPAN_PARAMETERS,
    "sort",
    "order",
    "limit",
    "buckets",
)
RESET_PARAMETERS: Final = ("generation", "history")
NO_ROWS: Final = Selection(function_name="")
"""Of a window nothing but what it says of itself: no function has this name."""


async def get_data(request: web.Request) -> web.Response:
    """Report the rows of the current window, or of a span, that are asked for, in the order asked for."""
    query = read_query(request, DATA_PARAMETERS)
    selection = read_selection(query)
    sort = choice(query, "sort", SORT_COLUMNS, DEFAULT_SORT)
    # The largest figures matter first; names read from A to Z.
    order = choice(query, "order", ("asc", "desc"), "asc" if sort == NAME_COLUMN else "desc")
    span = _read_span(query)
    shape: dict[str, Any] = {
        "sort": sort,
        "descending": order == "desc",
        "limit": whole_number(query, "limit"),
        "with_buckets": _wants_buckets(query),
    }
    store = request.app[STORE]
    if span is None:
        async with request.app[REPORTS]:
            render = partial(render_data, await store.snapshot(selection), **shape)
            return answer_json(await asyncio.to_thread(render))
    async with request.app[SPANS]:
        history = await store.history(HistoryQuery(selection, span))
        async with request.app[REPORTS]:
            render = partial(render_span, history, await store.snapshot(NO_ROWS), **shape)
            return answer_json(await asyncio.to_thread(render))


def _read_span(query: Query) -> Span | None:
    """Return the span asked for; None when it is the current window."""
    if "since" not in query:
        if "until" in query:
            raise MalformedRequestError("until goes with since")
        return None
    return read_span(query, time.time_ns(), "")


def _wants_buckets(query: Query) -> bool:
    if not flag(query, "buckets", default=False):
        return False
    if "function_name" not in query:  # all histograms of a window are megabytes, and a save holds them
        raise MalformedRequestError("buckets=true needs function_name: it is the histogram of one function")
    return True


async def post_reset(request: web.Request) -> web.Response:
    """Begin a new window."""
    query = read_query(request, RESET_PARAMETERS)
    generation = await request.app[STORE].reset(
        whole_number(query, "generation"), erase_history=flag(query, "history", default=False)
    )
    return answer_nothing({GENERATION_HEADER: str(generation)})
