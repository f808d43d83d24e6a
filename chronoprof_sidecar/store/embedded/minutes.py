"""Which minutes of history are kept: those last written to.

A minute's number comes from the wall clock. When that is set back, what is counted next has lower numbers than all that
is kept already, and must not be taken for the oldest.
"""

from collections.abc import Iterable
from typing import Final

KEPT_MINUTES: Final = 1440
"""Minutes of history that hold data."""


class Minutes:
    """Numbers of the minutes that hold data, those last written to at the end."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = dict.fromkeys(numbers)

    def __str__(self) -> str:
        """Return the numbers in order, with spaces between them: what a restart reads."""
        return " ".join(map(str, self._numbers))

    def note(self, numbers: Iterable[int]) -> None:
        """Note that these were written to."""
        for number in numbers:
            self._numbers.pop(number, None)
            self._numbers[number] = None

    def expired(self) -> int | None:
        """Return the next minute to erase; None when there are no more than are kept."""
        return next(iter(self._numbers)) if len(self._numbers) > KEPT_MINUTES else None

    def forget(self, number: int) -> None:
        """Note that a minute was erased."""
        del self._numbers[number]

    def clear(self) -> None:
        """Note that all were erased."""
        self._numbers.clear()
