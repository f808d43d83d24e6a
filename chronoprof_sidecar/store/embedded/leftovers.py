"""What is left on disk of a history that was erased: rows that nobody reads, erased in small transactions.

Erasing the history commits the list of its minutes and hours, with the window that begins; from then on none of their
rows is in any answer. What is counted afterwards may belong to one of those minutes again, so that minute's rows go
first, and no checkpoint writes to it before.

    crash before that commit     the history is as it was
    crash at any moment after it the list says what is left; the next start goes on
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, Self

from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.records import HOUR, HOUR_LOSSES, HOUR_SUM, MINUTE, MINUTE_LOSSES, MINUTE_SUM
from chronoprof_sidecar.store.embedded.threads import Confined

ERASED_ROWS: Final = 500
"""Rows erased in one transaction."""
ERASED_STRETCHES: Final = 100
"""Minutes and hours that one transaction goes through: some 5 ms, however little is stored of each."""
_KINDS: Final = {MINUTE: (MINUTE, MINUTE_LOSSES, MINUTE_SUM), HOUR: (HOUR, HOUR_LOSSES, HOUR_SUM)}

Stretch = tuple[int, int]
"""The kind of rows, and the number of their minute or hour."""


class Leftovers:
    """Minutes and hours whose rows are to be erased."""

    def __init__(self, minutes: Iterable[int] = (), hours: Iterable[int] = ()) -> None:
        self._stretches = dict.fromkeys([*((MINUTE, minute) for minute in minutes), *((HOUR, hour) for hour in hours)])

    @classmethod
    def read(cls, text: str) -> Self:
        """Return what `str()` wrote.

        Raises:
            ValueError: it did not.
        """
        numbers = [int(number) for number in text.split()]
        stretches = list(zip(numbers[::2], numbers[1::2], strict=True))
        return cls(*([number for kind, number in stretches if kind == each] for each in (MINUTE, HOUR)))

    def __str__(self) -> str:
        """Return the minutes and hours as text that a restart reads."""
        return _write(self._stretches)

    def __bool__(self) -> bool:
        return bool(self._stretches)

    def __iter__(self) -> Iterator[Stretch]:
        return iter(self._stretches)

    def add(self, stretches: Iterable[Stretch]) -> None:
        """Have these erased, too."""
        self._stretches |= dict.fromkeys(stretches)

    def among(self, minutes: Iterable[int]) -> list[int]:
        """Return those of some minutes that have rows left which count no more."""
        return [minute for minute in minutes if (MINUTE, minute) in self._stretches]

    async def step(self, database: Confined[Database], first: Collection[int] = ()) -> None:
        """Erase some rows, those of some minutes first.

        Raises:
            UnavailableError, UnknownOutcomeError: as `Database.transaction`.
        """
        order = [*((MINUTE, minute) for minute in self.among(first)), *self._stretches]
        gone = await database.run(_erase_some, list(dict.fromkeys(order)))
        for stretch in gone:
            self._stretches.pop(stretch, None)

    def erase_minute(self, database: Database, minute: int) -> None:
        """Erase all that is left of a minute, inside of a transaction."""
        if self.among([minute]):
            for kind in _KINDS[MINUTE]:
                database.erase_some_rows(kind, range(minute, minute + 1), -1)
            del self._stretches[MINUTE, minute]
            database.write_meta(left=str(self))


def load_leftovers(database: Database) -> Leftovers:
    """Return what is left of an erased history."""
    return Leftovers.read(str(database.load_meta().get("left", "")))


def _erase_some(database: Database, stretches: Sequence[Stretch]) -> list[Stretch]:
    """Erase some rows, of the first of `stretches` first; return those that have none any more."""
    gone: list[Stretch] = []
    room = ERASED_ROWS
    with database.transaction():
        for kind, number in stretches[:ERASED_STRETCHES]:
            for each in _KINDS[kind]:
                room -= database.erase_some_rows(each, range(number, number + 1), room)
            if room <= 0:
                break
            gone.append((kind, number))
        database.write_meta(left=_write(stretches[len(gone) :]))
    return gone


def _write(stretches: Iterable[Stretch]) -> str:
    return " ".join(f"{kind} {number}" for kind, number in stretches)
