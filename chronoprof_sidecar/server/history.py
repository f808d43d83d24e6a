"""`GET history`: one function, or all, over time."""

import asyncio
import time
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.history import HistoryQuery, Span, round_step
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.server.answers import answer_json
from chronoprof_sidecar.server.context import REPORTS, SPANS, STORE
from chronoprof_sidecar.server.query import Query, choice, length_of_time, read_query, whole_number
from chronoprof_sidecar.server.selecting import SELECTION_PARAMETERS, SPAN_PARAMETERS, read_selection, read_span
from chronoprof_sidecar.wire.history_reports import render_history, top_names

HISTORY_PARAMETERS: Final = (*SELECTION_PARAMETERS, *SPAN_PARAMETERS, "step", "by", "top")
DEFAULT_SINCE: Final = "1h"
DEFAULT_TOP: Final = 10
MAX_TOP: Final = 50
MAX_STEPS: Final = 1500
"""Steps of an answer: a day by the minute, and then some."""


async def get_history(request: web.Request) -> web.Response:
    """Report the calls of a span in steps: of all functions together, and one by one if asked for."""
    query = read_query(request, HISTORY_PARAMETERS)
    now_ns = time.time_ns()
    selection, span = read_selection(query), read_span(query, now_ns, DEFAULT_SINCE)
    step, top = _read_step(query, span), _read_top(query)
    store = request.app[STORE]
    async with request.app[SPANS]:
        history = await store.history(HistoryQuery(selection, span, step, per_function=False))
        by_function = None
        if top is not None:
            totals = await store.history(HistoryQuery(selection, span))
            by_function = await store.history(HistoryQuery(selection.among(top_names(totals, top)), span, step))
        async with request.app[REPORTS]:
            return answer_json(await asyncio.to_thread(render_history, history, step, now_ns, by_function))


def _read_step(query: Query, span: Span) -> int:
    """Return the step in minutes; seconds are rounded up to what is kept."""
    seconds = length_of_time(query, "step")
    if seconds is None:
        return round_step(span)
    minutes = -(-seconds // 60)
    if (span.end - span.start) // minutes > MAX_STEPS:
        raise MalformedRequestError(f"step is too short for this span: at most {MAX_STEPS} steps are answered")
    return minutes


def _read_top(query: Query) -> int | None:
    """Return how many functions are asked for one by one; None when none are."""
    top = whole_number(query, "top")
    if choice(query, "by", ("all", "function"), "all") == "all":
        if top is not None:
            raise MalformedRequestError("top goes with by=function")
        return None
    if top is None:
        return DEFAULT_TOP
    if not 1 <= top <= MAX_TOP:
        raise MalformedRequestError(f"top must be from 1 to {MAX_TOP}")
    return top
