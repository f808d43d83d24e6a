"""`GET /metrics`: what this process counted since it started, and how it is doing, for Prometheus."""

import asyncio
import gzip

from aiohttp import web

from chronoprof_sidecar.server.answers import answer_metrics
from chronoprof_sidecar.server.context import LIFECYCLE, METERS, REPORTS, STORE
from chronoprof_sidecar.server.query import read_query
from chronoprof_sidecar.wire.metrics import Status, describe, render_families


async def get_metrics(request: web.Request) -> web.Response:
    """Expose all metrics in the form that the scraper asks for."""
    read_query(request)
    store = request.app[STORE]
    ready = not request.app[LIFECYCLE].draining and store.unready_reason() is None
    async with request.app[REPORTS]:
        status = Status(request.app[METERS].read(), await store.figures(), ready)
        accept = request.headers.get("Accept", "")
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        body, content_type = await asyncio.to_thread(_render, status, accept, zipped)
    return answer_metrics(body, content_type, zipped=zipped)


def _render(status: Status, accept: str, zipped: bool) -> tuple[bytes, str]:
    body, content_type = render_families(describe(status), accept)
    # Level 1: half as small again costs four times as long, and the text shrinks to a twentieth anyway.
    return (gzip.compress(body, 1) if zipped else body), content_type
