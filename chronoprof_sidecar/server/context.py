"""What handlers find in the application: the keys of everything that `create_app` puts there."""

import asyncio
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.meters import Meters
from chronoprof_sidecar.server.access import Gate
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.contract import Store


class Lifecycle:
    """Whether the process is about to end."""

    def __init__(self) -> None:
        self.draining = False


SETTINGS: Final = web.AppKey("settings", Settings)
GATE: Final = web.AppKey("gate", Gate)
METERS: Final = web.AppKey("meters", Meters)
STORE: Final[web.AppKey[Store]] = web.AppKey("store")
LIFECYCLE: Final = web.AppKey("lifecycle", Lifecycle)
REPORTS: Final = web.AppKey("reports", asyncio.Semaphore)
"""Held while an answer of many rows is made: each has its own copy of the rows, so only a few may exist at once."""
SPANS: Final = web.AppKey("spans", asyncio.Semaphore)
"""Held from before a span of the history is read until it is answered, so that few of them wait in memory for a permit
of `REPORTS`, which they take later: reading may take seconds in which other reports need not wait."""

REQUEST_ID: Final = web.RequestKey("request_id", str)
