"""The public face: what an app calls, at what cost, and that nothing of it ever breaks the app.

Owns `Profiler` and the moment at which settings are read: the first use. Everything behind it (`engine`) is imported
then, and only where profiling is enabled, so that an app that leaves it off pays for nothing.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, ParamSpec, SupportsFloat, TypeGuard, TypeVar, Unpack, overload

from chronoprof_sidecar.client.buffers import Slot, void_slot
from chronoprof_sidecar.client.stats import Stats
from chronoprof_sidecar.client.switch import is_enabled
from chronoprof_sidecar.client.timer import Timer, make_timer_class
from chronoprof_sidecar.client.timing import Timing
from chronoprof_sidecar.errors import SettingsError
from chronoprof_sidecar.protocol import MAX_DURATION_SECONDS

if TYPE_CHECKING:
    from chronoprof_sidecar.client.engine import Engine
    from chronoprof_sidecar.client.settings import Overrides

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_STATE: Final = "state"
_OFF: Final = void_slot()
"""Where everything goes that is recorded while profiling is off."""


class _State(NamedTuple):
    """What the first use found out."""

    engine: "Engine | None"
    config_error: str | None


class Profiler:
    """Times functions and blocks of one process and ships the figures to the sidecar in the background.

    `Profiler(...)` takes the settings of `configure`; everything else comes from the environment at first use.
    """

    def __init__(self, *, environ: Mapping[str, str] = os.environ, **overrides: "Unpack[Overrides]") -> None:
        self._environ = environ
        self._overrides: Overrides = overrides
        # Filled once by `setdefault`, which is atomic: of threads that use the profiler first at the same time, one
        # wins, and no lock can be left behind by a fork.
        self._found: dict[str, _State] = {}
        self._slots: dict[str, Slot] = {}
        self._timers: dict[str, type[Timer]] = {}
        self._timers_by_slot: dict[Slot, type[Timer]] = {}
        self._engine: Engine | None = None

    def configure(self, **overrides: "Unpack[Overrides]") -> None:
        """Set what the environment would; must precede the first use.

        Raises:
            SettingsError: the profiler has been used, and its settings are frozen.
        """
        if self._found:
            raise SettingsError("configure() must come before the first use of the profiler")
        self._overrides = {**self._overrides, **overrides}

    @property
    def enabled(self) -> bool:
        """Whether anything is timed. The first look reads and freezes the settings."""
        return self._engine is not None or self._state().engine is not None

    # --- timing -----------------------------------------------------------------------------------------------------

    @overload
    def timed(self, target: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def timed(
        self, target: str | None = None, /, *, sample_every: int | None = None, split: bool = False
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def timed(
        self,
        target: Callable[..., Any] | str | None = None,
        /,
        *,
        sample_every: int | None = None,
        split: bool = False,
    ) -> Any:
        """Time every call of a function: `@profiler.timed`, `@profiler.timed("name")`, `@profiler.timed(split=True)`.

        Works for functions, methods, coroutines, generators and async generators; the function keeps its signature,
        name and everything else. Calls that raise or are cancelled count as errors. Not enabled, or the name
        excluded: the function itself comes back.

        Args:
            target: the function, or the name to count under (default: `module.qualname`).
            sample_every: time one call in so many, by chance, instead of what CHRONOPROF_SAMPLE_EVERY says.
            split: count the time that a coroutine runs on the event loop in a second row, `NAME [running]`.

        Raises:
            TypeError: the target is not a function.
            SettingsError: `sample_every` is not a whole number from 1 to a million.
        """
        if _is_function(target):
            return self._instrument(target, None, sample_every, split=split)
        if target is not None and not isinstance(target, str):
            raise TypeError(f"timed() takes a function or a name, not {type(target).__name__}")
        return lambda function: self._instrument(function, target, sample_every, split=split)

    def timer(self, name: str) -> Timer:
        """Return a context manager (plain or async) that times its block under the name; one block at a time."""
        try:
            return self._timers[name]()
        except (KeyError, TypeError):
            return self._timer_class(name)()

    def record(self, name: str, duration_seconds: float, error: bool = False) -> None:
        """Record one call that was timed elsewhere.

        Never raises: a duration that is not a number from 0 to ten days, or a name that is not a string, is counted
        as dropped.
        """
        try:
            slot = self._slots[name]
        except (KeyError, TypeError):
            slot = self._slot(name)
        if type(duration_seconds) is not float or not 0.0 < duration_seconds <= MAX_DURATION_SECONDS:
            checked = _checked(duration_seconds)
            if checked is None:
                slot = self._refused()
            duration_seconds = checked or 0.0
        if error:
            slot.on_failure.append(duration_seconds)
        else:
            slot.on_success.append(duration_seconds)

    # --- shipping ---------------------------------------------------------------------------------------------------

    def flush(self, timeout: float = 2.0) -> bool:
        """Send everything recorded so far; say whether all of it was acknowledged within so many seconds."""
        engine = self._state().engine
        return engine is None or engine.flush(timeout)

    def close(self, timeout: float = 2.0) -> bool:
        """Flush, and tell the sidecar that this process ends; for exits that `atexit` does not see.

        Recording afterwards begins anew. Returns whether all was acknowledged within so many seconds.
        """
        engine = self._state().engine
        return engine is None or engine.close(timeout)

    def request_done(self) -> None:
        """Let the profiler work for a moment where no thread can; middlewares call this after each request."""
        engine = self._engine
        if engine is not None and engine.threadless:
            engine.request_done()

    def stats(self) -> Stats:
        """Return where this process's timed calls are."""
        engine, config_error = self._state()
        return Stats(config_error=config_error) if engine is None else engine.stats()

    # --- behind -----------------------------------------------------------------------------------------------------

    def _state(self) -> _State:
        state = self._found.get(_STATE)
        return self._first_use() if state is None else state

    def _first_use(self) -> _State:
        made = self._read_settings()
        state = self._found.setdefault(_STATE, made)
        if state is made:
            if made.config_error is not None:
                logger.warning("profiling stays off: %s", made.config_error)
            if made.engine is not None:
                made.engine.watch()
        self._engine = state.engine
        if state.engine is not None:
            self._slots = state.engine.registry.by_spelling
        return state

    def _read_settings(self) -> _State:
        try:
            if not is_enabled(self._environ, self._overrides.get("enabled")):
                return _State(None, None)
            from chronoprof_sidecar.client import engine, settings  # noqa: PLC0415 - see the module's docstring

            return _State(engine.Engine(settings.read_settings(self._environ, self._overrides)), None)
        except (SettingsError, OSError) as error:  # OSError: the host's TLS set-up
            return _State(None, str(error))

    def _instrument(
        self, target: Callable[..., Any], name: str | None, sample_every: int | None, *, split: bool
    ) -> Callable[..., Any]:
        if isinstance(target, type) or not _is_function(target):
            raise TypeError(f"timed() takes a function, not {target!r}")
        if sample_every is not None:
            from chronoprof_sidecar.client import settings  # noqa: PLC0415

            settings.check_sample_every(sample_every)
        engine = self._state().engine
        if engine is None:
            return target
        return engine.instrument(target, Timing(name, sample_every, split))

    def _slot(self, name: str) -> Slot:
        engine = self._state().engine
        return _OFF if engine is None else engine.registry.slot(name)

    def _timer_class(self, name: str) -> type[Timer]:
        slot = self._slot(name)
        made = self._timers_by_slot.get(slot)
        if made is None:
            made = self._timers_by_slot.setdefault(slot, make_timer_class(slot))
        with contextlib.suppress(TypeError):  # a name of a kind that has no hash
            if name in self._slots:  # a spelling within the bound on names
                self._timers[name] = made
        return made

    def _refused(self) -> Slot:
        engine = self._state().engine
        return _OFF if engine is None else engine.registry.refused


def _is_function(target: object) -> TypeGuard[Callable[..., Any]]:
    return callable(target) or isinstance(target, classmethod | staticmethod)


def _checked(duration_seconds: object) -> float | None:
    """Return the seconds of a duration that did not look like one at first sight; None if it is none.

    Zero, whole numbers and other types of real numbers (numpy's) are durations; booleans and text are not.
    """
    if isinstance(duration_seconds, bool) or not isinstance(duration_seconds, SupportsFloat):
        return None
    try:
        seconds = float(duration_seconds)
    except (TypeError, ValueError, ArithmeticError):
        return None
    # abs: a negative zero is in no bucket
    return abs(seconds) if 0.0 <= seconds <= MAX_DURATION_SECONDS else None
