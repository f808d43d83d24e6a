"""`GET plot.svg`: the slowest functions as a picture, for a runbook or a curl."""

import asyncio
from functools import partial
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import MAX_NAME_LENGTH
from chronoprof_sidecar.server.answers import answer_svg
from chronoprof_sidecar.server.context import REPORTS, STORE
from chronoprof_sidecar.server.query import choice, read_query, text, whole_number
from chronoprof_sidecar.wire.charts import CHART_COLUMNS, render_chart

PLOT_PARAMETERS: Final = ("top", "by", "match", "service", "version")
DEFAULT_TOP: Final = 10
MAX_TOP: Final = 100
"""Bars that a picture can hold and a person can look at."""


async def get_plot(request: web.Request) -> web.Response:
    """Draw the functions of the current window that come first by a column."""
    query = read_query(request, PLOT_PARAMETERS)
    column = choice(query, "by", CHART_COLUMNS, "avg_time")
    top = whole_number(query, "top")
    if top is None:
        top = DEFAULT_TOP
    if not 1 <= top <= MAX_TOP:
        raise MalformedRequestError(f"top must be from 1 to {MAX_TOP}")
    selection = Selection(
        match=text(query, "match", MAX_NAME_LENGTH), service=query.get("service"), version=query.get("version")
    )
    async with request.app[REPORTS]:
        snapshot = await request.app[STORE].snapshot(selection)
        return answer_svg(await asyncio.to_thread(partial(render_chart, snapshot, column=column, top=top)))
