"""Which minutes of history are kept: those last written to.

A minute's number comes from the wall clock. When that is set back, what is counted next has lower numbers than all that
is kept already, and must not be taken for the oldest.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Self

KEPT_MINUTES: Final = 1440
"""Minutes of history that hold data."""


class Minutes:
    """Numbers of the minutes that hold data, those last written to at the end."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers: dict[int, None] = dict.fromkeys(numbers)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `str()` wrote.

        Raises:
            ValueError: it did not.
        """
        return cls(map(int, text.split()))

    def __str__(self) -> str:
        """Return the numbers in order, with spaces between them: what a restart reads."""
        return " ".join(map(str, self._numbers))

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def note(self, numbers: Iterable[int]) -> None:
        """Note that these were written to."""
        for number in numbers:
            self._numbers.pop(number, None)
            self._numbers[number] = None

    def oldest(self) -> int:
        """Return the minute that was written to longest ago; there must be one."""
        return next(iter(self._numbers))

    def newest(self) -> int | None:
        """Return the minute that was written to last; None when none is kept."""
        return next(reversed(self._numbers), None)

    def expired(self) -> int | None:
        """Return the next minute to add to its hour; None when there are no more than are kept."""
        return self.oldest() if len(self._numbers) > KEPT_MINUTES else None

    def forget(self, number: int) -> None:
        """Note that a minute is no longer kept."""
        del self._numbers[number]

    def clear(self) -> None:
        """Note that all were erased."""
        self._numbers.clear()
