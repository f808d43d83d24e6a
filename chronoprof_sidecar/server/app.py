"""The application: what it is made of, which routes it has, and how the process that serves it lives and ends."""

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, NamedTuple, cast

from aiohttp import web
from aiohttp.typedefs import Handler

from chronoprof_sidecar import protocol
from chronoprof_sidecar.auth import BadKeyLimiter, Role, load_keyring, reload_keyring
from chronoprof_sidecar.domain.meters import Meters
from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.server import (
    comparing,
    health,
    history,
    ingest,
    metrics,
    openapi,
    plots,
    profiling,
    saves,
    senders,
)
from chronoprof_sidecar.server.access import Gate
from chronoprof_sidecar.server.connections import ConnectionGuard, connection_options
from chronoprof_sidecar.server.context import GATE, LIFECYCLE, METERS, REPORTS, SETTINGS, SPANS, STORE, Lifecycle
from chronoprof_sidecar.server.dashboard import pages
from chronoprof_sidecar.server.listening import Listener
from chronoprof_sidecar.server.middlewares import guard_requests
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.choosing import open_store
from chronoprof_sidecar.store.contract import Store

logger = logging.getLogger(__name__)

_REPORTS_AT_ONCE: Final = 2
"""Each holds a copy of its rows, some 30 MB for 10 000 functions, and computes in a thread of its own."""
_SPANS_AT_ONCE: Final = _REPORTS_AT_ONCE + 1
"""One is read while those before it are rendered."""

_SWITCH_SECONDS: Final = 0.001
"""Longest wait of one thread for another that computes. A batch passes from the event loop to the disk's thread and
back and meets a report's thread each time: with Python's 5 ms, ingest during `GET data` of 10 000 functions took three
times as long, and the report itself no less."""
_YOUNG_OBJECTS: Final = 5_000
"""Objects made and not yet freed, of kinds that can be part of a cycle, before the collector looks for cycles. Python
3.11's 700 are those of 20 batches under way: looking at them over and over took a tenth of ingest's time, found nothing
and went through all rows every other second, 100 ms for 10 000 functions. With many more, one look takes long."""
_CUT_OFF_SECONDS: Final = 0.1
"""What aiohttp grants to requests that outlasted the drain; it may spend this twice."""


class Route(NamedTuple):
    """One line of the API."""

    method: str
    path: str
    handler: Handler
    role: Role | None
    """What a key must be for; None: no key at all."""


ROUTES: Final = (
    Route("GET", protocol.DATA_PATH, profiling.get_data, Role.READ),
    Route("POST", protocol.RESET_PATH, profiling.post_reset, Role.ADMIN),
    Route("POST", protocol.SAVE_PATH, saves.post_save, Role.ADMIN),
    Route("POST", protocol.ROTATE_PATH, saves.post_rotate, Role.ADMIN),
    Route("POST", protocol.INGEST_PATH, ingest.post_ingest, Role.INGEST),
    Route("GET", protocol.SAVES_PATH, saves.get_saves, Role.READ),
    Route("GET", f"{protocol.SAVES_PATH}/{{name}}", saves.get_save, Role.READ),
    Route("GET", protocol.SENDERS_PATH, senders.get_senders, Role.READ),
    Route("GET", protocol.HISTORY_PATH, history.get_history, Role.READ),
    Route("GET", protocol.COMPARE_PATH, comparing.get_compare, Role.READ),
    Route("GET", protocol.PLOT_PATH, plots.get_plot, Role.READ),
    Route("GET", protocol.METRICS_PATH, metrics.get_metrics, Role.READ),
    Route("GET", "/health", health.get_health, None),
    Route("GET", "/health/live", health.get_health, None),
    Route("GET", "/health/ready", health.get_readiness, None),
    Route("GET", "/openapi.json", openapi.get_openapi, None),
    Route("GET", "/", pages.get_page, None),
    Route("GET", "/dashboard/{asset}", pages.get_asset, None),
)


def create_app(settings: Settings) -> web.Application:
    """Return the application; keys are read, and the store is opened, when it starts.

    Starting raises SettingsError or StoreError with a message for whoever starts it.
    """
    app = web.Application(middlewares=[guard_requests()], handler_args=connection_options(settings))
    app[SETTINGS] = settings
    app[LIFECYCLE] = Lifecycle()
    app[METERS] = Meters(settings.metrics_max_functions, time.time_ns, time.monotonic)
    app[REPORTS] = asyncio.Semaphore(_REPORTS_AT_ONCE)
    app[SPANS] = asyncio.Semaphore(_SPANS_AT_ONCE)
    app.cleanup_ctx.extend([_provide_gate, _provide_store])
    app.add_routes([web.route(route.method, route.path, route.handler) for route in ROUTES])
    return app


async def _provide_gate(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    keyring = load_keyring(settings)
    roles = {route.handler: route.role for route in ROUTES}
    app[GATE] = Gate(keyring, BadKeyLimiter(time.monotonic), roles, settings.allowed_hosts)
    yield


async def _provide_store(app: web.Application) -> AsyncIterator[None]:
    store = app[STORE] = await open_store(app[SETTINGS])
    yield
    await store.close()


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, finish what was begun, and return the exit status 0.

    Raises:
        SettingsError, StoreError: the service cannot start, or cannot go on; the message says what to do.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    signals = _Signals()
    app = create_app(settings)
    listener = Listener(settings)
    runner = web.AppRunner(app, shutdown_timeout=_CUT_OFF_SECONDS)
    try:
        await runner.setup()  # reads the keys, opens the store
        _spare_collections()
        await _listen_until_told(app, cast("web.Server", runner.server), listener, signals)
    finally:
        await runner.cleanup()  # closes the store, once no request can reach it any more
    logger.info("stopped")
    return 0


async def _listen_until_told(app: web.Application, server: web.Server, listener: Listener, signals: "_Signals") -> None:
    """Serve until told to stop, or until the store fails, and then finish what was begun."""
    settings = app[SETTINGS]
    guard = ConnectionGuard(server, settings)
    try:
        await listener.open(guard)
        logger.info("listening on %s", ", ".join(listener.addresses))
        await _first_to_end(
            signals.stop.wait(),
            _fail_with(app[STORE]),
            guard.watch(),
            _reload_when_told(signals.reload, app, listener),
        )
    finally:
        app[LIFECYCLE].draining = True
        listener.close()
        logger.info("stopping: requests in progress have %g s", settings.drain_timeout_seconds)
        await guard.drain(settings.drain_timeout_seconds)


class _Signals:
    """What the process is told from outside, as events; nothing else happens inside a signal handler."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.reload = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop.set)
        loop.add_signal_handler(signal.SIGINT, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)


async def _first_to_end(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run all until the first of them ends, and cancel the others; raise what it raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _fail_with(store: Store) -> None:
    failure = await store.failure()
    raise StoreError(f"the store cannot vouch for its state any more, so the sidecar ends: {failure}") from failure


async def _reload_when_told(told: asyncio.Event, app: web.Application, listener: Listener) -> None:
    while await told.wait():
        told.clear()
        gate = app[GATE]
        gate.keyring = await asyncio.to_thread(reload_keyring, gate.keyring, app[SETTINGS])
        await asyncio.to_thread(listener.reload_certificate)


def _spare_collections() -> None:
    """Have the collector of cycles look less often, and never at the 50 000 objects that are there from the start.

    A look at everything takes some 100 ms, in which no request is answered; without those it takes 20 (measured, with
    10 000 functions).
    """
    gc.set_threshold(_YOUNG_OBJECTS)
    gc.collect()
    gc.freeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 -- optional: the extra `speed`
    except ImportError:
        return asyncio.new_event_loop
    return new_event_loop
