"""Where samples wait: one slot per function name, the registry that hands slots out, and the starters.

Owns the only state that application threads write to. Their whole write is one `list.append`; nothing here locks,
sends, folds or logs. Must not know of threads or the wire: what an unattended buffer does about its lack of a flush
thread is a callable that the registry is given.

Why this needs no lock: `list.append`, `list[:n]` and `del list[:n]` are each one indivisible operation (by the GIL, and
by the list's own lock in free-threaded builds). Appends go to the end, the one folder takes from the front what it has
copied, so no sample is lost or seen twice.
"""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from types import CellType
from typing import Final, Protocol

from chronoprof_sidecar.protocol import clean_name

MAX_NAMES: Final = 10_000
"""Bound on names, and on spellings of names: the number of rows that a sidecar keeps by default."""


class Sink(Protocol):
    """Whatever takes a duration in seconds: a buffer, or what stands in for one."""

    def append(self, duration_seconds: float, /) -> None: ...


class Void:
    """The sink of an excluded name: it forgets."""

    __slots__ = ()

    def append(self, duration_seconds: float, /) -> None:
        """Do nothing."""


class Starter:
    """Stands in for a buffer that nobody looks after, or not fast enough: keeps the sample, then calls for help."""

    __slots__ = ("_buffer", "_rouse", "_slot")

    def __init__(self, slot: "Slot", buffer: list[float], rouse: Callable[["Slot"], None]) -> None:
        self._slot = slot
        self._buffer = buffer
        self._rouse = rouse

    def append(self, duration_seconds: float, /) -> None:
        """Keep the sample; `rouse` starts the thread, folds, or puts the buffer back in place."""
        self._buffer.append(duration_seconds)
        self._rouse(self._slot)


class Sampler:
    """Passes one sample in n on, by chance and not by turns, so that no rhythm of the app can bias the count."""

    __slots__ = ("_cell", "_random", "_rate")

    def __init__(self, cell: CellType, sample_every: int, random: Callable[[], float]) -> None:
        self._cell = cell
        self._rate = 1.0 / sample_every
        self._random = random

    def append(self, duration_seconds: float, /) -> None:
        """Keep the sample with a chance of 1 in n."""
        if self._random() < self._rate:
            self._cell.cell_contents.append(duration_seconds)


class Slot:
    """The two buffers of one name, and the two ways to reach them.

    Compiled wrappers and timers read the cells, so that one assignment re-points all of the name. `record` uses the
    attributes `on_success` and `on_failure`, which also sample where the name is sampled; a wrapper samples before it
    reads the clock.
    """

    __slots__ = (
        "failure_cell",
        "failures",
        "name",
        "on_failure",
        "on_success",
        "sample_every",
        "success_cell",
        "successes",
    )

    def __init__(self, name: str, sample_every: int = 1, random: Callable[[], float] | None = None) -> None:
        self.name = name
        self.sample_every = sample_every
        self.successes: list[float] = []
        self.failures: list[float] = []
        self.success_cell = CellType(self.successes)
        self.failure_cell = CellType(self.failures)
        self.on_success: Sink = self.successes
        self.on_failure: Sink = self.failures
        if random is not None:
            self.on_success = Sampler(self.success_cell, sample_every, random)
            self.on_failure = Sampler(self.failure_cell, sample_every, random)

    @property
    def is_sampled(self) -> bool:
        """Whether `on_success` and `on_failure` let only some samples through."""
        return isinstance(self.on_success, Sampler)

    def point(self, success: Sink, failure: Sink) -> None:
        """Send what is recorded from now on to these sinks."""
        self.success_cell.cell_contents = success
        self.failure_cell.cell_contents = failure
        if not self.is_sampled:
            self.on_success = success
            self.on_failure = failure

    def attend(self) -> None:
        """Record straight into the buffers: a flush thread looks after them."""
        self.point(self.successes, self.failures)

    def arm(self, rouse: Callable[["Slot"], None]) -> None:
        """Put starters in place of the buffers: nobody looks after them."""
        self.point(Starter(self, self.successes, rouse), Starter(self, self.failures, rouse))


def void_slot() -> Slot:
    """Return a slot that forgets what is recorded into it."""
    slot = Slot("")
    slot.point(Void(), Void())
    return slot


class Registry:
    """Every slot of this process, by spelling for lookups and in order of registration for folding.

    New slots are armed, so a slot that is made while the thread starts or dies can never be left unattended: its first
    sample asks.
    """

    def __init__(
        self, *, sample_every: int, exclude: Sequence[str], rouse: Callable[[Slot], None], random: Callable[[], float]
    ) -> None:
        self._sample_every = sample_every
        self._exclude = tuple(exclude)
        self._rouse = rouse
        self._random = random
        self._by_series: dict[tuple[str, int], Slot] = {}
        self.by_spelling: dict[str, Slot] = {}
        """The slot of a name as the app spells it, for names recorded at the default rate. Read on the hot path."""
        self.slots: list[Slot] = []
        self.excluded = void_slot()
        self.refused = Slot("")
        """Takes what cannot be recorded (bad durations, names beyond the bound), only to be counted as dropped."""
        self.refused.arm(rouse)

    @property
    def full(self) -> bool:
        """Say whether the bound on names is reached."""
        return len(self._by_series) >= MAX_NAMES

    def excludes(self, name: str) -> bool:
        """Say whether a pattern excludes the (uncleaned) name."""
        cleaned = clean_name(name)
        return any(fnmatchcase(cleaned, pattern) for pattern in self._exclude)

    def slot(self, name: object, sample_every: int | None = None) -> Slot:
        """Return the slot of a name, making it if need be; `excluded` or `refused` where there is none to make.

        `sample_every` overrides the default rate; the same name at two rates has two slots, sent as two items.
        """
        if not isinstance(name, str):
            return self.refused
        if self.excludes(name):
            slot = self.excluded
        else:
            slot = self._slot_of_series(clean_name(name), sample_every or self._sample_every)
        if sample_every is None and len(self.by_spelling) < MAX_NAMES:
            self.by_spelling[name] = slot
        return slot

    def _slot_of_series(self, name: str, sample_every: int) -> Slot:
        known = self._by_series.get((name, sample_every))
        if known is not None:
            return known
        if self.full:
            return self.refused
        made = Slot(name, sample_every, self._random if sample_every > 1 else None)
        made.arm(self._rouse)
        # Two threads may get here at once: setdefault lets one slot win, and only its maker lists it.
        slot = self._by_series.setdefault((name, sample_every), made)
        if slot is made:
            self.slots.append(slot)
        return slot

    def everything(self) -> list[Slot]:
        """Return every slot that can hold samples, the refused ones last; the caller owns the list."""
        return [*self.slots, self.refused]

    def waiting(self) -> int:
        """Count the samples in all buffers."""
        return sum(len(slot.successes) + len(slot.failures) for slot in self.everything())

    def attend(self) -> None:
        """Take all starters away: a flush thread lives."""
        for slot in self.everything():
            slot.attend()

    def arm(self) -> None:
        """Put starters everywhere: no flush thread lives."""
        for slot in self.everything():
            slot.arm(self._rouse)

    def call_for_help(self, slot: Slot) -> None:
        """Make whoever records into the slot ask what to do about it, until told otherwise."""
        slot.arm(self._rouse)

    def forget_samples(self) -> None:
        """Empty all buffers: after a fork they hold the parent's samples, which the parent sends."""
        for slot in self.everything():
            slot.successes.clear()
            slot.failures.clear()
