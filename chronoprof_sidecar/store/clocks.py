"""Service time: minutes that the sidecar ran, whatever the wall clock says."""

from collections.abc import Callable


class ServiceClock:
    """Counts on from where the last process stopped."""

    def __init__(self, minutes_before: int, monotonic: Callable[[], float]) -> None:
        self._minutes_before = minutes_before
        self._monotonic = monotonic
        self._started = monotonic()

    def minute(self) -> int:
        """Return the current service minute."""
        return self._minutes_before + int((self._monotonic() - self._started) // 60)
