"""`GET data` and `POST reset`: the current window."""

import asyncio
from functools import partial
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.ordering import NAME_COLUMN, SORT_COLUMNS
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import GENERATION_HEADER, MAX_NAME_LENGTH
from chronoprof_sidecar.server.answers import answer_json, answer_nothing
from chronoprof_sidecar.server.context import REPORTS, STORE
from chronoprof_sidecar.server.query import choice, flag, read_query, text, whole_number
from chronoprof_sidecar.wire.reports import DEFAULT_SORT, render_data

DATA_PARAMETERS: Final = ("function_name", "match", "service", "version", "sort", "order", "limit")
RESET_PARAMETERS: Final = ("generation", "history")


async def get_data(request: web.Request) -> web.Response:
    """Report the rows of the current window that are asked for, in the order asked for."""
    query = read_query(request, (*DATA_PARAMETERS, "since"))
    if "since" in query:
        raise MalformedRequestError("since is not available in this release")
    selection = Selection(
        function_name=text(query, "function_name", MAX_NAME_LENGTH),
        match=text(query, "match", MAX_NAME_LENGTH),
        service=query.get("service"),
        version=query.get("version"),
    )
    sort = choice(query, "sort", SORT_COLUMNS, DEFAULT_SORT)
    # The largest figures matter first; names read from A to Z.
    order = choice(query, "order", ("asc", "desc"), "asc" if sort == NAME_COLUMN else "desc")
    render = partial(render_data, sort=sort, descending=order == "desc", limit=whole_number(query, "limit"))
    async with request.app[REPORTS]:
        snapshot = await request.app[STORE].snapshot(selection)
        return answer_json(await asyncio.to_thread(render, snapshot))


async def post_reset(request: web.Request) -> web.Response:
    """Begin a new window."""
    query = read_query(request, RESET_PARAMETERS)
    generation = await request.app[STORE].reset(
        whole_number(query, "generation"), erase_history=flag(query, "history", default=False)
    )
    return answer_nothing({GENERATION_HEADER: str(generation)})
