"""Upkeep between commits: checkpoints, forgetting senders, erasing what nobody reads any more, ageing the history.

Owns when it is time and how much is done at once. Every step is one small transaction, so a batch that arrives
meanwhile waits for one of them at most.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from chronoprof_sidecar.errors import UnavailableError
from chronoprof_sidecar.store.clocks import Clocks
from chronoprof_sidecar.store.embedded.checkpoint import Round, cut_journal, write_slice
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.leftovers import Leftovers
from chronoprof_sidecar.store.embedded.memory import Memory, MinuteDelta
from chronoprof_sidecar.store.embedded.records import Slot
from chronoprof_sidecar.store.embedded.retention import Retention
from chronoprof_sidecar.store.embedded.threads import Confined

logger = logging.getLogger(__name__)

CHECKPOINT_BYTES: Final = 8 * 1024 * 1024
"""Journal size that begins a checkpoint early: some 0.3 s of replay."""
ERASED_ROWS: Final = 500
"""Rows of an older window erased in one step."""
STEPS_BETWEEN_ROUNDS: Final = 25
"""Steps of erasing and ageing that a round which is due waits for: rounds that follow upon each other must not keep
the history of 10 000 functions from ageing by a minute every minute."""
RETRY_SECONDS: Final = 1.0
"""Until a step that found the disk full is tried again."""


class Upkeep:
    """Does one small thing at a time."""

    def __init__(  # noqa: PLR0913  its parts and its clocks
        self,
        memory: Memory,
        database: Confined[Database],
        *,
        interval_seconds: float,
        retention: Retention,
        leftovers: Leftovers,
        clocks: Clocks,
    ) -> None:
        self._memory = memory
        self._database = database
        self._interval_seconds = interval_seconds
        self._retention = retention
        self._leftovers = leftovers
        self._clocks = clocks
        self._round: Round | None = None
        self._next_round_at = clocks.monotonic() + interval_seconds
        self._retry_at = 0.0
        self._journal_bytes = 0
        self._erasing = True
        self._steps_left = STEPS_BETWEEN_ROUNDS

    @property
    def journal_bytes(self) -> int:
        """What was journaled since the last checkpoint began."""
        return self._journal_bytes

    def note_journaled(self, size_bytes: int) -> None:
        """Note that the journal has grown."""
        self._journal_bytes += size_bytes

    def note_window_ended(self) -> None:
        """Note that the rows of an older window may be erased."""
        self._erasing = True

    def stored_history(self) -> Leftovers:
        """Return every minute and hour that rows may be stored of."""
        unwritten = [minute for _, minutes in self.unwritten_minutes() for minute in minutes]
        stored = Leftovers([*self._retention.minutes, *unwritten], self._retention.stored_hours())
        stored.add(self._leftovers)
        return stored

    def note_history_erased(self, stored: Leftovers) -> None:
        """Note that what is stored is to be erased, and that minutes counted so far are not to be written any more."""
        self._leftovers.add(stored)
        self._retention.note_erased()
        if self._round:
            self._round.drop_history()

    def unwritten_minutes(self) -> list[tuple[int, Mapping[int, MinuteDelta]]]:
        """Return what minutes gained but may not be stored yet, in parts: each is to be added to what is stored,
        unless that counts journal entries up to the part's number already."""
        parts = [(self._round.lsn, self._round.minutes)] if self._round else []
        return [*parts, (self._memory.lsn, self._memory.dirty.minutes)]

    def due_in_seconds(self) -> float:
        """Return how long the writer may wait for jobs before the next step is due."""
        now = self._clocks.monotonic()
        if self._retry_at > now:
            return self._retry_at - now
        if self._round or self._has_to_erase() or self._journal_bytes >= CHECKPOINT_BYTES:
            return 0.0
        return max(0.0, self._next_round_at - now)

    async def step(self) -> None:
        """Do one small thing if one is due.

        Raises:
            UnknownOutcomeError: as `Database.transaction`.
        """
        if self.due_in_seconds() <= 0:
            await self._unless_full(self._step)

    async def age(self) -> None:
        """Erase or age something between two rounds, whether or not the next round is due.

        Raises:
            UnknownOutcomeError: as `Database.transaction`.
        """
        if self._round is None and self._retry_at <= self._clocks.monotonic():
            await self._unless_full(self._erase)

    async def _unless_full(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except UnavailableError as error:
            logger.debug("a checkpoint has to wait: %s", error)  # the disk has said so already, and only once
            self._retry_at = self._clocks.monotonic() + RETRY_SECONDS

    async def finish(self) -> None:
        """Write all that there is, so that the next start has nothing to replay.

        Where the disk is full the journal keeps what is not written.

        Raises:
            UnknownOutcomeError: as `Database.transaction`.
        """
        try:
            while self._round or self._memory.dirty:
                await self._write()
        except UnavailableError as error:
            logger.warning("the last checkpoint could not be written, the journal keeps its batches: %s", error)

    async def _step(self) -> None:
        round_due = self._journal_bytes >= CHECKPOINT_BYTES or self._clocks.monotonic() >= self._next_round_at
        if self._round or (round_due and not (self._steps_left and self._has_to_erase())):
            await self._write()
        else:
            self._steps_left = max(0, self._steps_left - 1)
            await self._erase()

    async def _write(self) -> None:
        """Write one slice, or cut a piece off the journal when all are written."""
        if self._round is None:
            erased = self._leftovers.among(self._memory.dirty.minutes)
            if erased:  # or what is counted since would be added to them
                await self._leftovers.step(self._database, erased)
                return
            self._begin_round()
        round_ = self._round
        if round_ is None:
            return
        part = round_.next_slice()
        if part is not None:
            damaged = await self._database.run(write_slice, part, round_.lsn, self._clocks.wall_ns())
            round_.written()
            _tell_damaged(damaged)
            return
        self._retention.note_written(list(round_.minutes))
        if await self._database.run(cut_journal, round_.lsn, self._for_a_restart()):
            self._round = None
            self._steps_left = STEPS_BETWEEN_ROUNDS

    def _has_to_erase(self) -> bool:
        return self._erasing or bool(self._leftovers) or self._retention.due

    def _for_a_restart(self) -> dict[str, int | str]:
        return {
            "service_minute": self._clocks.service.minute(),
            "window_start_ns": self._memory.window_start_ns,
            **self._retention.for_a_restart(),
        }

    def _begin_round(self) -> None:
        self._next_round_at = self._clocks.monotonic() + self._interval_seconds
        self._memory.forget(self._memory.senders.forget(self._clocks.service.minute()))
        # A reset leaves nothing to write of what it threw away, but a journal to cut.
        if self._memory.dirty or self._journal_bytes:
            self._round = Round(self._memory)
            self._journal_bytes = 0

    async def _erase(self) -> None:
        """Erase some rows of older windows, which nobody reads any more, and then of the history."""
        if self._erasing:
            erased = await self._database.run(_erase_some, self._memory.generation)
            self._erasing = erased >= ERASED_ROWS
        elif self._leftovers:
            await self._leftovers.step(self._database)
        elif self._has_to_erase():
            _tell_damaged(await self._retention.step())


def _erase_some(database: Database, generation: int) -> int:
    with database.transaction():
        return database.erase_old_windows(generation, ERASED_ROWS)


def _tell_damaged(slots: Iterable[Slot]) -> None:
    """Log rows of the history that were kept aside: they are counted in their minutes and hours, not in the window."""
    for slot in slots:
        logger.error("a stored row was damaged and is kept aside: %r", tuple(slot))
