"""The store contract: what the server asks of whatever keeps the numbers.

Every engine passes `tests/store/contract_suite.py` unchanged. All methods are coroutines of one event loop. What they
return is the caller's to keep and nobody's to change: a store may share the rows of a snapshot with other snapshots.
"""

from collections.abc import AsyncIterator
from typing import Protocol, Self

from chronoprof_sidecar.domain.batch import Batch, Outcome
from chronoprof_sidecar.domain.figures import StoreFigures
from chronoprof_sidecar.domain.history import History, HistoryQuery
from chronoprof_sidecar.domain.senders import Sender
from chronoprof_sidecar.domain.snapshot import Rotation, SaveInfo, Snapshot
from chronoprof_sidecar.domain.table import Selection

__all__ = [
    "History",
    "HistoryQuery",
    "Outcome",
    "Rotation",
    "SaveContent",
    "SaveInfo",
    "Snapshot",
    "Store",
    "StoreFigures",
]


class SaveContent(Protocol):
    """An open save; `async with` closes it."""

    @property
    def info(self) -> SaveInfo: ...
    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *exc_info: object) -> None: ...


class Store(Protocol):
    """Keeps the window, the history, the senders and the saves; counts every batch once."""

    async def ingest(self, batch: Batch) -> Outcome:
        """Count `batch`, and return once that is durable.

        Raises:
            SequenceGapError, SequenceReusedError: by the counting rule; nothing was applied.
            UnavailableError: not now (draining, queue full, disk full, too many senders); nothing was applied.
        """
        ...

    async def snapshot(self, selection: Selection) -> Snapshot:
        """Return the window's rows that `selection` asks for, as of now; every acknowledged batch is in them."""
        ...

    async def history(self, query: HistoryQuery) -> History:
        """Return what was counted in a span, over all windows; every acknowledged call is in it exactly once.

        Minutes are kept for a day or more of data, hours for a month or more. May take seconds; neither batches nor
        other answers wait for it.

        Raises:
            UnavailableError: the history cannot be read.
        """
        ...

    async def reset(self, expected_generation: int | None = None, *, erase_history: bool = False) -> int:
        """Begin a new window and return its generation; what was acknowledged before is in the old one.

        Raises:
            GenerationConflictError: `expected_generation` is not the current one.
            UnavailableError: as for `ingest`.
        """
        ...

    async def save(self, name: str | None = None, *, overwrite: bool = True) -> SaveInfo:
        """Write the window to a save and return once file and directory are synced; None makes a name of the time.

        Raises:
            MalformedRequestError: not a plain `.json` or `.csv` name, or not a regular file's.
            FileExistsConflictError: the name is taken and `overwrite` is false.
            SavesFullError: the bound on saves is reached.
            UnavailableError: as for `ingest`.
        """
        ...

    async def rotate(self, name: str | None = None, *, expected_generation: int | None = None) -> Rotation:
        """Save the window and begin a new one as one step, also across a crash: both happened, or neither.

        Raises:
            GenerationConflictError, FileExistsConflictError, MalformedRequestError, SavesFullError, UnavailableError:
                as for `reset` and `save`; takes `.json` names only and never overwrites.
        """
        ...

    async def saves(self) -> list[SaveInfo]:
        """Return every save, newest first."""
        ...

    async def open_save(self, name: str) -> SaveContent:
        """Open one save for reading.

        Raises:
            MalformedRequestError: not a save's name.
            NotFoundError: no such save.
        """
        ...

    async def senders(self) -> list[Sender]:
        """Return every remembered sender, in any order."""
        ...

    async def figures(self) -> StoreFigures:
        """Return how the store is doing; takes no longer for a large table than for a small one."""
        ...

    def unready_reason(self) -> str | None:
        """Say why the store cannot take batches now; None when it can."""
        ...

    async def failure(self) -> BaseException:
        """Wait until the store can no longer vouch for its own state, and return why: the process must end then."""
        ...

    def refuse(self) -> None:
        """Take no more batches and no more changes (UnavailableError); what was taken is still served."""
        ...

    async def close(self) -> None:
        """Refuse, finish what was taken, make it cheap to start again, and let go of everything. Legal once."""
        ...
