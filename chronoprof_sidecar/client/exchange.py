"""One request while it is timed, and what middlewares need of a profiler.

Owns the moment of recording: an exchange starts its clock when it is made and records itself once, however often and
from wherever it is finished. It also is how several middlewares around one request agree: the outermost one leaves its
exchange in the request's carrier (ASGI scope, WSGI environ), inner ones do not time again but lend it their template.
Knows no framework.
"""

from collections.abc import MutableMapping
from time import perf_counter
from typing import Any, Final, Protocol

from chronoprof_sidecar import client
from chronoprof_sidecar.client.routes import endpoint_name, with_slash

EXCHANGE_KEY: Final = "chronoprof.exchange"

_SERVER_ERROR: Final = 500


class RequestProfiler(Protocol):
    """What middlewares use of a profiler; `chronoprof_sidecar.client.Profiler` is one."""

    @property
    def enabled(self) -> bool:
        """Say whether anything is to be recorded."""
        ...

    def record(self, name: str, duration_seconds: float, *, error: bool) -> None:
        """Record one call."""
        ...

    def close(self, *, timeout: float) -> bool:
        """Ship what was recorded and tell the sidecar of the process's end, within `timeout` seconds."""
        ...

    def request_done(self) -> None:
        """Note the end of a request: the moment to ship where the process may run no thread."""
        ...


def chosen_profiler(profiler: RequestProfiler | None) -> RequestProfiler:
    """Return `profiler`, or the default one where none was named."""
    return client.profiler if profiler is None else profiler


class Exchange:
    """One request and its answer: started when made, recorded once by `finish`."""

    __slots__ = ("_method", "_profiler", "_started", "finished", "status", "template")

    def __init__(self, profiler: RequestProfiler, method: str) -> None:
        self._profiler = profiler
        self._method = method
        self.template: str | None = None
        """The matched route as it stands in a name; None where none matched, or not yet."""
        self.status = 0
        """The status code of the answer; 0 until it begins."""
        self.finished = False
        self._started = perf_counter()

    def finish(self, failed: bool = False, ended: float | None = None) -> None:
        """Record the exchange, unless that has happened; a 5xx answer and `failed` are errors.

        `ended` is the reading of `perf_counter` at its end, now by default.
        """
        if self.finished:
            return
        duration_seconds = (perf_counter() if ended is None else ended) - self._started
        self.finished = True
        status = self.status
        name = endpoint_name(self._method, self.template, status)
        self._profiler.record(name, duration_seconds, error=failed or status >= _SERVER_ERROR)
        self._profiler.request_done()

    def __enter__(self) -> None:
        """Begin what the exchange ends with, as a body."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish; a body that was left before its end is not the app's failure, any other exception is."""
        self.finish(failed=kind not in (None, GeneratorExit))


def lend_template(carrier: MutableMapping[str, Any], template: str | None) -> bool:
    """Give the matched template to the exchange that times this request further out; say whether there is one."""
    exchange = carrier.get(EXCHANGE_KEY)
    if exchange is None:
        return False
    if template is not None:
        exchange.template = with_slash(template)
    return True
