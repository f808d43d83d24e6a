"""`GET history`: one function, or all, over time; and what questions of a span have in common."""

import asyncio
import time
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.history import HistoryQuery, Span, covering, round_step
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import MAX_NAME_LENGTH
from chronoprof_sidecar.server.answers import answer_json
from chronoprof_sidecar.server.context import REPORTS, SPANS, STORE
from chronoprof_sidecar.server.query import Query, choice, length_of_time, moment, read_query, text, whole_number
from chronoprof_sidecar.wire.history_reports import render_history, top_names

HISTORY_PARAMETERS: Final = (
    "function_name",
    "match",
    "service",
    "version",
    "since",
    "until",
    "step",
    "by",
    "top",
)
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


def read_selection(query: Query) -> Selection:
    """Return which rows are asked for."""
    return Selection(
        function_name=text(query, "function_name", MAX_NAME_LENGTH),
        match=text(query, "match", MAX_NAME_LENGTH),
        service=query.get("service"),
        version=query.get("version"),
    )


def read_span(query: Query, now_ns: int, default_since: str) -> Span:
    """Return the span from `since` to `until`, in whole minutes.

    Raises:
        MalformedRequestError: naming the parameter that makes no sense.
    """
    since_ns, until_ns = moment(query, "since", default_since, now_ns), moment(query, "until", "now", now_ns)
    if since_ns >= min(until_ns, now_ns):
        raise MalformedRequestError("since must be before until, and not in the future")
    # What arrives while this is answered belongs to it.
    return covering(since_ns, min(until_ns, now_ns + 1))


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
