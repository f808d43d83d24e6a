"""Clocks: the wall's, one that never jumps, and service time, the minutes that the sidecar ran."""

from collections.abc import Callable
from dataclasses import dataclass


class ServiceClock:
    """Counts on from where the last process stopped."""

    def __init__(self, minutes_before: int, monotonic: Callable[[], float]) -> None:
        self._minutes_before = minutes_before
        self._monotonic = monotonic
        self._started = monotonic()

    def minute(self) -> int:
        """Return the current service minute."""
        return self._minutes_before + int((self._monotonic() - self._started) // 60)


@dataclass(frozen=True, slots=True)
class Clocks:
    """Every clock that a store looks at."""

    wall_ns: Callable[[], int]
    """Unix time in nanoseconds."""
    monotonic: Callable[[], float]
    """Seconds of a clock that never jumps."""
    service: ServiceClock
