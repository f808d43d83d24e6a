"""Instrumentation from outside: carries out CHRONOPROF_INSTRUMENT and CHRONOPROF_MIDDLEWARE as modules are imported.

Owns what is done when, and every complaint about it. This directory is the one that `chronoprof run` puts first on
PYTHONPATH, so that each Python process of the app finds `sitecustomize` in it; nothing else may be in here.
"""

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

from chronoprof_sidecar.client import profiler
from chronoprof_sidecar.client.family import Family
from chronoprof_sidecar.client.imports import ImportWatch
from chronoprof_sidecar.client.patterns import (
    INSTRUMENT,
    MIDDLEWARE,
    AppPath,
    FunctionPattern,
    parse_app_path,
    parse_function_pattern,
    split_list,
)
from chronoprof_sidecar.client.switch import is_enabled
from chronoprof_sidecar.errors import ChronoprofError, SettingsError

DIRECTORY: Final = Path(__file__).parent

Order = FunctionPattern | AppPath
Tell = Callable[[Exception | None], None]
T = TypeVar("T")


class NothingFoundError(ChronoprofError):
    """A module holds no function that its pattern names."""

    code = "nothing_found"


def start() -> None:
    """Carry out what the environment asks for, from here on; at most once in a process.

    Raises:
        SettingsError: ENABLE_PROFILING says neither on nor off.
    """
    if not (os.environ.get(INSTRUMENT) or os.environ.get(MIDDLEWARE)) or not is_enabled(os.environ, None):
        return
    if any(isinstance(finder, ImportWatch) for finder in sys.meta_path):
        return
    orders: list[Order] = [*_read(INSTRUMENT, parse_function_pattern), *_read(MIDDLEWARE, parse_app_path)]
    if orders:
        Autostart(orders, Family()).install()


class Autostart:
    """Carries out orders in this process."""

    def __init__(self, orders: Sequence[Order], family: Family) -> None:
        self._orders = orders
        self._family = family

    def install(self) -> None:
        """Begin: with what is imported already, and then with each import."""
        atexit.register(self._end)
        ImportWatch(self._wants, self._ran).install()

    def _wants(self, module: str) -> bool:
        return any(order.wants(module) for order in self._orders)

    def _ran(self, module: ModuleType) -> None:
        for number, order in enumerate(self._orders):
            if order.wants(module.__name__):
                self._carry_out(number, module)

    def _carry_out(self, number: int, module: ModuleType) -> None:
        order = self._orders[number]
        tell = partial(self._tell, number)
        try:
            if not profiler.enabled:  # a bad setting, which the profiler has told of
                tell(None)
            elif isinstance(order, AppPath):
                from chronoprof_sidecar.client import adoption  # noqa: PLC0415 - not where functions alone are timed

                adoption.adopt(module, order, tell)
            else:
                _time(module, order, tell)
        except Exception as error:  # noqa: BLE001 - whoever imports the module must not hear of it
            tell(error)

    def _tell(self, number: int, error: Exception | None) -> None:
        if error is None:
            self._family.settle(number)
        elif self._family.may_complain(number):
            _complain(self._orders[number], _shown(error))

    def _end(self) -> None:
        """Complain of what came to nothing in this process and in all that it started."""
        if self._family.is_root:
            for number in self._family.part(len(self._orders)):
                order = self._orders[number]
                _complain(order, _ABSENCES[order.kind, order.spans_modules].format(order.module))


_ABSENCES: Final = {
    ("instrument", False): "matched nothing, {} was never imported",
    ("instrument", True): "matched nothing in any module that was imported",
    ("middleware", False): "no app came from there, {} was never imported, or what makes the app never called",
}


def _time(module: ModuleType, pattern: FunctionPattern, tell: Tell) -> None:
    from chronoprof_sidecar.client import members  # noqa: PLC0415 - not before there is something to time

    if members.time_members(module, pattern, profiler):
        tell(None)
    elif not pattern.spans_modules:
        raise NothingFoundError(f"no function of {module.__name__} has such a name")


def _read(variable: str, parse: Callable[[str], T]) -> list[T]:
    orders: list[T] = []
    for text in split_list(os.environ.get(variable, "")):
        try:
            orders.append(parse(text))
        except SettingsError as error:
            say(str(error))
    return orders


def _shown(error: Exception) -> str:
    return str(error) if isinstance(error, ChronoprofError) else f"{type(error).__name__}: {error}"


def _complain(order: Order, complaint: str) -> None:
    say(f"{order.kind} {order.text!r}: {complaint}")


def say(message: str) -> None:
    """Write a line to stderr.

    No logger: one that exists before the app sets its logging up is silenced by `logging.config` as a rule.
    """
    try:
        sys.stderr.write(f"chronoprof: {message}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):  # there is no stderr, or it is closed
        return
