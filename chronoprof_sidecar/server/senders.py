"""`GET senders`: who ships, so that silence is visible."""

import asyncio
import time

from aiohttp import web

from chronoprof_sidecar.server.answers import answer_json
from chronoprof_sidecar.server.context import REPORTS, STORE
from chronoprof_sidecar.server.query import read_query
from chronoprof_sidecar.wire.reports import render_senders


async def get_senders(request: web.Request) -> web.Response:
    """List every remembered sender, the one silent longest first."""
    read_query(request)
    async with request.app[REPORTS]:
        senders = await request.app[STORE].senders()
        return answer_json(await asyncio.to_thread(render_senders, senders, time.time_ns()))
