"""`POST ingest`: a batch is acknowledged once it is on disk."""

import asyncio
import time
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.errors import ChronoprofError
from chronoprof_sidecar.server.answers import answer_json
from chronoprof_sidecar.server.bodies import read_json_body
from chronoprof_sidecar.server.context import METERS, SETTINGS, STORE
from chronoprof_sidecar.server.query import read_query
from chronoprof_sidecar.wire.batches import decode_batch
from chronoprof_sidecar.wire.reports import render_outcome

_DECODE_IN_THREAD_BYTES: Final = 256 * 1024
"""Decoding more than this may take 10 ms and longer, which other requests should not have to wait for."""


async def post_ingest(request: web.Request) -> web.Response:
    """Count a batch of timings, and answer once that is durable."""
    meters = request.app[METERS]
    try:
        batch = await _read_batch(request)
        begun = time.monotonic()
        outcome = await request.app[STORE].ingest(batch)
    except ChronoprofError as error:
        meters.refuse(error.code)
        raise
    meters.count(batch, outcome, time.monotonic() - begun)
    return answer_json(render_outcome(outcome))


async def _read_batch(request: web.Request) -> Batch:
    read_query(request)
    body = await read_json_body(request, request.app[SETTINGS])
    if len(body) < _DECODE_IN_THREAD_BYTES:
        return decode_batch(body)
    return await asyncio.to_thread(decode_batch, body)
