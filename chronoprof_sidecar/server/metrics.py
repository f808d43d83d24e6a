"""`GET /metrics`: what this process counted since it started, and how it is doing, for Prometheus."""

import asyncio
import gzip
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.figures import StoreFigures
from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.server.answers import answer_metrics
from chronoprof_sidecar.server.context import LIFECYCLE, METERS, REPORTS, STORE
from chronoprof_sidecar.server.query import read_query
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.wire.metrics import Status, describe, render_families

_FIGURES_SECONDS: Final = 5.0
"""For a database that does not answer: half of the time that Prometheus gives a scrape."""


async def get_metrics(request: web.Request) -> web.Response:
    """Expose all metrics in the form that the scraper asks for."""
    read_query(request)
    store = request.app[STORE]
    ready = not request.app[LIFECYCLE].draining and store.unready_reason() is None
    async with request.app[REPORTS]:
        status = Status(request.app[METERS].read(), await _read_figures(store), ready)
        accept = request.headers.get("Accept", "")
        zipped = "gzip" in request.headers.get("Accept-Encoding", "")
        body, content_type = await asyncio.to_thread(_render, status, accept, zipped)
    return answer_metrics(body, content_type, zipped=zipped)


async def _read_figures(store: Store) -> StoreFigures | None:
    """Return the store's own figures; None while its database is away, when a scrape is wanted most of all."""
    try:
        async with asyncio.timeout(_FIGURES_SECONDS):
            return await store.figures()
    except (TimeoutError, UnavailableError):
        return None


def _render(status: Status, accept: str, zipped: bool) -> tuple[bytes, str]:
    body, content_type = render_families(describe(status), accept)
    # Level 1: half as small again costs four times as long, and the text shrinks to a twentieth anyway.
    return (gzip.compress(body, 1) if zipped else body), content_type
