"""Connections: how many there may be, and how slow one may be.

aiohttp closes idle connections, and its body reads are timed in `bodies`. What it lacks is here: a cap on connections,
a time for the head of a request, and an end to clients that do not take their answer.
"""

import asyncio
import contextlib
import logging
import resource
from typing import Any, Final, cast

from aiohttp import web

from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.server.bodies import BROKEN_BODY
from chronoprof_sidecar.server.errors import answer_not_http
from chronoprof_sidecar.server.kernel_buffers import reset, unsent_bytes
from chronoprof_sidecar.server.middlewares import answer_before_middlewares
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.wire.reports import render_error

logger = logging.getLogger(__name__)

LINGERING_SECONDS: Final = 2.0
"""How long the rest of a refused body is thrown away, so that the client reads the answer before a reset."""
_MIN_TAKEN_BYTES: Final = 16 * 1024
"""Of an answer, per body timeout: a client that takes less is cut off. Over ten seconds this is a very bad modem."""
_INSPECTION_SECONDS: Final = 0.5
_REFUSALS_LOGGED_EVERY_SECONDS: Final = 60.0
_RESERVED_DESCRIPTORS: Final = 64
"""For the store, the logs and the sockets that listen."""
_FULL_BODY: Final = render_error(UnavailableError.code, "too many connections now")
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_FULL_BODY), _FULL_BODY)
)


def connection_options(settings: Settings) -> dict[str, Any]:
    """Return how aiohttp is to treat each connection."""
    return {
        "access_log": None,  # formatting a line costs as much as counting a batch
        "auto_decompress": False,  # aiohttp's has no bound on the output
        "keepalive_timeout": settings.idle_timeout_seconds,
        "lingering_time": LINGERING_SECONDS,
    }


class ConnectionGuard:
    """Makes the protocol of each new connection, and cuts off those that are too slow."""

    def __init__(self, server: web.Server, settings: Settings) -> None:
        self._server = server
        self._options = connection_options(settings)
        self._max_connections = _affordable_connections(settings.max_connections)
        self.head_seconds = settings.header_timeout_seconds
        self.answer_seconds = settings.body_timeout_seconds
        self._open: set[GuardedConnection] = set()
        self._refused = 0
        self._refusals_quiet_until = 0.0
        self._empty = asyncio.Event()
        self._empty.set()

    def __call__(self) -> asyncio.Protocol:
        """Return the protocol of a connection that was just accepted."""
        if len(self._open) >= self._max_connections:
            self._note_refused()
            return RefusedConnection()
        return GuardedConnection(self, self._server, self._options)

    def admit(self, connection: "GuardedConnection") -> None:
        """Count a connection that begins."""
        self._open.add(connection)
        self._empty.clear()

    def dismiss(self, connection: "GuardedConnection") -> None:
        """Count out a connection that ended."""
        self._open.discard(connection)
        if not self._open:
            self._empty.set()

    async def drain(self, seconds: float) -> None:
        """End idle connections, and wait so long for the others to finish their requests.

        Done here, because aiohttp throws away what arrives of a body once it is told to end.
        """
        await asyncio.sleep(0)  # what has arrived already is no longer idle
        for connection in list(self._open):
            connection.end_if_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._empty.wait()

    async def watch(self) -> None:
        """Cut off slow connections until cancelled.

        One look at all of them twice a second costs less than timers that every request starts and stops.
        """
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_INSPECTION_SECONDS)
            for connection in list(self._open):
                reason = connection.inspect(now())
                if reason is not None:
                    logger.debug("connection from %s cut off: %s", connection.peername, reason)
                    connection.abort()

    def _note_refused(self) -> None:
        """Say so in the log, once a minute at most: whoever causes it could fill a disk with lines."""
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now < self._refusals_quiet_until:
            return
        self._refusals_quiet_until = now + _REFUSALS_LOGGED_EVERY_SECONDS
        logger.warning(
            "connections refused since the last such line: %d; all %d are taken (CHRONOPROF_MAX_CONNECTIONS, and the"
            " limit on open files)",
            self._refused,
            self._max_connections,
        )
        self._refused = 0


class RefusedConnection(asyncio.Protocol):
    """One connection too many: told so, and closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer before anything was asked."""
        writable = cast("asyncio.Transport", transport)
        writable.write(_FULL)
        writable.close()


class GuardedConnection(web.RequestHandler):
    """aiohttp's connection, with an eye on the clock."""

    __slots__ = ("_guard", "_guarded", "_head_since", "_taken", "_unsent", "_unsent_since")

    def __init__(self, guard: ConnectionGuard, server: web.Server, options: dict[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._guard = guard
        self._guarded: asyncio.Transport | None = None
        self._head_since: float | None = None
        self._taken = False
        self._unsent = 0
        self._unsent_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        super().connection_made(transport)
        # aiohttp drops its own reference when it closes, even while an answer waits to be taken.
        self._guarded = cast("asyncio.Transport", transport)
        self._guard.admit(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._guard.dismiss(self)
        self._guarded = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, and note since when a head is incomplete."""
        super().data_received(data)
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._head_since = None  # no head is awaited: a request is being served, or about to be
            # Who asks again is not cut off for what is still under way: it may be another answer at every look.
            self._taken = self._taken or waiter is not None
        elif self._head_since is None and data:
            self._head_since = self._loop.time()
        if self._messages:
            self._break_off()

    def _break_off(self) -> None:
        """Tell who reads a body that it is broken, if its chunks were: aiohttp's compiled parser tells nobody.

        What came behind a body that has not ended can be nothing but the parser's complaint.
        """
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request is not None:
            body = self._current_request.content
        else:
            return
        if not body.is_eof():
            body.set_exception(web.RequestPayloadError("malformed chunks"))
            body.feed_eof()  # there is no rest to be waited for

    def resume_writing(self) -> None:
        """Note that the client took what was waiting for it."""
        self._taken = True
        super().resume_writing()

    def inspect(self, now: float) -> str | None:
        """Say why the connection has to end at loop time `now`; None when it is fast enough."""
        if self._head_since is not None and now - self._head_since >= self._guard.head_seconds:
            return "the head of its request is not complete"
        unsent = unsent_bytes(self._guarded) if self._guarded is not None else 0
        if self._taken or unsent == 0 or self._unsent == 0 or unsent <= self._unsent - _MIN_TAKEN_BYTES:
            self._taken, self._unsent, self._unsent_since = False, unsent, now
        elif now - self._unsent_since >= self._guard.answer_seconds:
            return "it does not take its answer"
        return None

    def end_if_idle(self) -> None:
        """End the connection unless a request is being served on it."""
        if self._waiter is not None and not self._waiter.done():
            self.force_close()

    def abort(self) -> None:
        """End the connection at once, in the kernel, too."""
        if self._guarded is not None:
            reset(self._guarded)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, as JSON whoever made it."""
        if isinstance(resp, web.HTTPException):
            resp = answer_before_middlewares(request, resp)
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what aiohttp did not expect; not a body that breaks while what is left of it is thrown away."""
        if not isinstance(kw.get("exc_info"), BROKEN_BODY):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer bytes that are no HTTP, in place of aiohttp's plain text; nothing is logged, for it might be a key."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        return answer_not_http()


def _affordable_connections(wanted: int) -> int:
    """Return how many connections the limit on open files leaves room for, after raising it as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    affordable = max(1, min(wanted, soft - _RESERVED_DESCRIPTORS)) if soft != resource.RLIM_INFINITY else wanted
    if affordable < wanted:
        logger.warning("only %d connections instead of %d: the limit on open files is %d", affordable, wanted, soft)
    return affordable
