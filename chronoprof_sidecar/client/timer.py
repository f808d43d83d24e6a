"""`with profiler.timer("name"):` and its `async with` form.

Owns the two clock reads around a block. A class with slots: a generator under `@contextmanager` costs five times as
much.
"""

from time import perf_counter
from types import TracebackType
from typing import Self

from chronoprof_sidecar.client.buffers import Slot


class Timer:
    """Times one block at a time; an exception that leaves the block counts as an error and goes on."""

    __slots__ = ("_slot", "_started")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def __enter__(self) -> Self:
        self._started = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed = perf_counter() - self._started
        if kind is None:
            self._slot.on_success.append(elapsed)
        else:
            self._slot.on_failure.append(elapsed)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
