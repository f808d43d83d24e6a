"""Bodies that say when they have been sent: what a response iterates over, with an end to its exchange.

A wrapped body hands out the same chunks, one by one, as late as before. It finishes its exchange when it is exhausted,
fails, or is closed, whichever comes first: a client that goes away is seen by the close alone. Knows no framework.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, MutableMapping, Sized
from contextlib import suppress
from typing import Any, cast

from chronoprof_sidecar.client.exchange import Exchange


class TimedBody:
    """An iterable body whose end finishes an exchange."""

    __slots__ = ("_body", "_exchange")

    def __init__(self, body: Iterable[bytes], exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body's chunks."""
        with self._exchange:
            yield from self._body

    def close(self) -> Any:
        """Close the body, if it can be closed, and return what that returns."""
        if not self._exchange.finished:
            self._exchange.finish()
        close = getattr(self._body, "close", None)
        return None if close is None else close()


class SizedTimedBody(TimedBody):
    """A timed body with a length: servers make a Content-Length of a body that has a single chunk."""

    __slots__ = ()

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(cast("Sized", self._body))


class TimedAsyncBody:
    """An asynchronously iterable body whose end finishes an exchange."""

    def __init__(self, body: AsyncIterable[bytes], exchange: Exchange) -> None:
        self._body = body
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body's chunks."""
        with self._exchange:
            async for chunk in self._body:
                yield chunk


def time_body(body: Iterable[bytes], exchange: Exchange, environ: MutableMapping[str, Any]) -> Iterable[bytes]:
    """Return a WSGI body that finishes `exchange` at its end."""
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is not None and isinstance(wrapper, type) and isinstance(body, wrapper):
        # The server sends such a body by sendfile if it gets back the very object: only its close can be watched.
        if not finish_at_close(body, exchange):
            exchange.finish()
        return body
    # Not isinstance(body, Sized), nor hasattr of its type: both take five times as long to say no.
    return (TimedBody if getattr(body, "__len__", None) is None else SizedTimedBody)(body, exchange)


def finish_at_close(file: object, exchange: Exchange) -> bool:
    """Let the `close` of a file-like object finish `exchange`; say whether that was possible."""
    close: Callable[[], Any] | None = getattr(file, "close", None)
    if close is None:
        return False

    def finish_and_close() -> Any:
        exchange.finish()
        return close()

    with suppress(AttributeError):
        setattr(file, "close", finish_and_close)  # noqa: B010 - an attribute of this one object, not of its type
        return True
    return False
