"""How a store is doing: a handful of numbers, cheap enough to be asked for every second."""

from typing import NamedTuple


class StoreFigures(NamedTuple):
    """A store's own figures at one instant."""

    generation: int
    rows: int
    """Of the current window, those of `_other` included."""
    overflowed: int
    """Calls of the current window that are counted under `_other`."""
    senders: int
    """All that are remembered, those that ended or fell silent included."""
    waiting_batches: int
    waiting_bytes: int
    """Of batches that nobody has begun to commit."""
    journal_bytes: int
    """Journaled since the last checkpoint began: what a restart would have to replay at least."""
