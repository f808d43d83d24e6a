"""What handlers find in the application: the keys of everything that `create_app` puts there."""

import asyncio
from typing import Final

from aiohttp import web

from chronoprof_sidecar.server.access import Gate
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.contract import Store


class Lifecycle:
    """Whether the process is about to end."""

    def __init__(self) -> None:
        self.draining = False


SETTINGS: Final = web.AppKey("settings", Settings)
GATE: Final = web.AppKey("gate", Gate)
STORE: Final[web.AppKey[Store]] = web.AppKey("store")
LIFECYCLE: Final = web.AppKey("lifecycle", Lifecycle)
REPORTS: Final = web.AppKey("reports", asyncio.Semaphore)
"""Held while an answer of many rows is made: each has its own copy of the rows, so only a few may exist at once."""

REQUEST_ID: Final = web.RequestKey("request_id", str)
