"""What `profiler.timed` does to a function: which kind it is, what it is called, and that it stays what it was.

Owns the choice of wrapper and the copying of everything that others may look at. The wrappers themselves are
`wrappers`; must not know of threads or delivery.
"""

import inspect
from collections.abc import Callable
from functools import update_wrapper
from inspect import CO_ITERABLE_COROUTINE
from time import perf_counter
from types import CellType, FunctionType
from typing import Any, Final

from chronoprof_sidecar.client.buffers import Registry, Slot, Void
from chronoprof_sidecar.client.running import Meter
from chronoprof_sidecar.client.timing import Timing
from chronoprof_sidecar.client.wrappers import FILENAME, Kind, build_wrapper

RUNNING_SUFFIX: Final = " [running]"
_CONSTANTS: Final = {
    "any": CellType(BaseException),
    "clock": CellType(perf_counter),
    "closed": CellType(GeneratorExit),
    "exhausted": CellType(StopAsyncIteration),
    "make_meter": CellType(Meter),
    "void": CellType(Void()),
}


def instrument(
    target: Callable[..., Any], timing: Timing, registry: Registry, random: Callable[[], float]
) -> Callable[..., Any]:
    """Return the target with every call of it timed; the target itself where its name is excluded.

    A `classmethod` or `staticmethod` object comes back as one. A function that this name times already comes back as it
    is, so that instrumenting twice counts once.
    """
    if isinstance(target, classmethod | staticmethod):
        inner = instrument(target.__func__, timing, registry, random)
        return target if inner is target.__func__ else type(target)(inner)
    name = timing.name or default_name(target)
    slot = registry.slot(name, timing.sample_every)
    if slot is registry.excluded or _is_timed_into(target, slot):
        return target
    kind = kind_of(target)
    split = timing.split and kind in (Kind.COROUTINE, Kind.ASYNC_GENERATOR)
    running = registry.slot(name + RUNNING_SUFFIX, timing.sample_every) if split else slot
    cells = _CONSTANTS | {
        "call": CellType(target),
        "successes": slot.success_cell,
        "failures": slot.failure_cell,
        "running_successes": running.success_cell,
        "running_failures": running.failure_cell,
        "random": CellType(random),
        "rate": CellType(1.0 / slot.sample_every),
    }
    wrapper = build_wrapper(target, kind, cells, sampled=slot.sample_every > 1, split=split)
    return _dress(wrapper, target)


def kind_of(target: Callable[..., Any]) -> Kind:
    """Say how a callable runs; an object with an `async def __call__` is a coroutine function, too."""
    for face in (target, getattr(type(target), "__call__", None)):  # noqa: B004 - the method is asked for, not whether
        if inspect.iscoroutinefunction(face):
            return Kind.COROUTINE
        if inspect.isasyncgenfunction(face):
            return Kind.ASYNC_GENERATOR
        if inspect.isgeneratorfunction(face):
            return Kind.GENERATOR
    return Kind.PLAIN


def is_timed(target: Callable[..., Any]) -> bool:
    """Say whether calls of the target are timed already, under whatever name, by itself or by what it wraps."""
    return _is_wrapper(inspect.unwrap(target, stop=_is_wrapper))


def default_name(target: Callable[..., Any]) -> str:
    """Return `module.qualname` of a function, of what a partial calls, or of a callable object's class."""
    while not hasattr(target, "__qualname__") and hasattr(target, "func"):
        target = target.func
    named = target if hasattr(target, "__qualname__") else type(target)
    return f"{named.__module__}.{named.__qualname__}"


def _is_wrapper(target: object) -> bool:
    code = getattr(target, "__code__", None)
    return code is not None and getattr(code, "co_filename", None) == FILENAME


def _is_timed_into(target: Callable[..., Any], slot: Slot) -> bool:
    return slot.success_cell in (getattr(target, "__closure__", None) or ())


def _dress(wrapper: FunctionType, target: Callable[..., Any]) -> FunctionType:
    """Give the wrapper everything by which others recognise the target."""
    update_wrapper(wrapper, target)
    code = getattr(target, "__code__", None)
    if code is not None and code.co_flags & CO_ITERABLE_COROUTINE:  # a generator that `types.coroutine` made awaitable
        wrapper.__code__ = wrapper.__code__.replace(co_flags=wrapper.__code__.co_flags | CO_ITERABLE_COROUTINE)
    return wrapper
