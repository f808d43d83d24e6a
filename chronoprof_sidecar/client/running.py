"""How long a coroutine runs on the event loop, as opposed to how long it takes (`timed(split=True)`).

Owns the driving of an awaitable step by step. Must not know where the figure goes.
"""

import types
from collections.abc import Awaitable, Generator
from time import perf_counter
from typing import Any, Protocol, cast


class _Steps(Protocol):
    """A coroutine, or what an async generator's `asend` returns."""

    def send(self, value: Any, /) -> Any: ...

    def throw(self, error: BaseException, /) -> Any: ...

    def close(self) -> object: ...


class Meter:
    """Sums up the time that awaitables spend running between two suspensions, the coroutines they await included."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    @types.coroutine
    def run(self, awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
        """Await it, with every value and exception passed on as a plain `await` would (PEP 380)."""
        steps = cast("_Steps", awaitable if hasattr(awaitable, "send") else _await(awaitable))
        proceed, argument = steps.send, None
        while True:
            started = perf_counter()
            try:
                suspended_on = proceed(argument)
            except StopIteration as stop:
                return stop.value
            finally:
                self.seconds += perf_counter() - started
            try:
                proceed, argument = steps.send, (yield suspended_on)
            except GeneratorExit:
                self._close(steps)
                raise
            except BaseException as error:  # noqa: BLE001 - all are passed on
                proceed, argument = steps.throw, error

    def _close(self, steps: _Steps) -> None:
        started = perf_counter()
        try:
            steps.close()
        finally:
            self.seconds += perf_counter() - started


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
