"""Which hours of history are kept, and which of their minutes each of them holds.

An hour gains the minutes that are no longer kept one by one. As with minutes, the order is that of writing, so that a
clock that was set back makes no hour the oldest.
"""

from collections.abc import Iterable
from typing import Final, Self

from chronoprof_sidecar.domain.history import HOUR_MINUTES, Span

KEPT_HOURS: Final = 720
"""Hours of history that hold data."""


class Hours:
    """Numbers of the hours that hold data, those last written to at the end, each with the minutes it holds."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans = {span.start // HOUR_MINUTES: span for span in spans}

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `str()` wrote.

        Raises:
            ValueError: it did not.
        """
        edges = [int(number) for number in text.split()]
        return cls(Span(*edge) for edge in zip(edges[::2], edges[1::2], strict=True))

    @classmethod
    def whole(cls, numbers: Iterable[int]) -> Self:
        """Return hours of which no more is known than their numbers."""
        return cls(Span(number * HOUR_MINUTES, (number + 1) * HOUR_MINUTES) for number in numbers)

    def __str__(self) -> str:
        """Return the hours in order, as text that a restart reads."""
        return " ".join(f"{span.start} {span.end}" for span in self._spans.values())

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, minute: int) -> None:
        """Note that the hour of a minute gains it."""
        number = minute // HOUR_MINUTES
        span = self._spans.pop(number, Span(minute, minute + 1))
        self._spans[number] = Span(min(span.start, minute), max(span.end, minute + 1))

    def spans(self) -> list[tuple[int, Span]]:
        """Return each hour's number and the minutes it holds."""
        return list(self._spans.items())

    def oldest(self) -> int:
        """Return the hour that was written to longest ago; there must be one."""
        return next(iter(self._spans))

    def newest(self) -> int | None:
        """Return the hour that was written to last; None when none is kept."""
        return next(reversed(self._spans), None)

    def expired(self) -> int | None:
        """Return the next hour to erase; None when there are no more than are kept."""
        return self.oldest() if len(self._spans) > KEPT_HOURS else None

    def forget(self, number: int) -> None:
        """Note that an hour is no longer kept, if it was."""
        self._spans.pop(number, None)

    def clear(self) -> None:
        """Note that all were erased."""
        self._spans.clear()
