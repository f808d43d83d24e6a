"""`with profiler.timer("name"):` and its `async with` form.

Owns the two clock reads around a block. One class per name: making a timer is then one call into C without an
`__init__`, and its exit reads the name's cells as a compiled wrapper does. A generator under `@contextmanager` costs
five times as much, an object that is handed its slot a sixth more.
"""

from time import perf_counter
from types import CellType, FunctionType, TracebackType
from typing import Self, cast

from chronoprof_sidecar.client.buffers import Sink, Slot


class Timer:
    """Times one block at a time; an exception that leaves the block counts as an error and goes on."""

    __slots__ = ("_started",)

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the block; each name's class has its own."""
        raise TypeError("profiler.timer(name) makes timers")

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def make_timer_class(slot: Slot) -> type[Timer]:
    """Return the class whose instances time blocks under the slot's name."""
    cells = {"successes": slot.success_cell, "failures": slot.failure_cell}
    if slot.is_sampled:
        cells = {"successes": CellType(slot.on_success), "failures": CellType(slot.on_failure)}
    template = cast("FunctionType", _exit_into(slot.on_success, slot.on_failure))
    closure = tuple(cells[name] for name in template.__code__.co_freevars)
    leave = FunctionType(template.__code__, template.__globals__, "__exit__", None, closure)
    return type("Timer", (Timer,), {"__slots__": (), "__exit__": leave})


def _exit_into(successes: Sink, failures: Sink) -> object:
    """Return an `__exit__`, as a template for those that read a slot's own cells."""

    def leave(self: Timer, kind: object, _error: object, _trace: object) -> None:
        if kind is None:
            successes.append(perf_counter() - self._started)
        else:
            failures.append(perf_counter() - self._started)

    return leave
