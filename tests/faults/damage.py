"""Database files as a sidecar leaves them, and what a bad disk makes of them."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import NamedTuple

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded import open_store
from chronoprof_sidecar.store.embedded.loading import DATABASE_NAME
from tests.store.bodies import make_batch
from tests.store.harness import Clock
from tests.store.test_embedded import make_settings

NAMES = 120
SENDERS = 5
LOG_NAME = f"{DATABASE_NAME}-wal"
PAGE_BYTES = 4096


class Shown(NamedTuple):
    """What a store says of its window: the generation, and calls and nanoseconds per row."""

    generation: int
    rows: dict[RowKey, tuple[int, int]]

    def at_most(self, truth: "Shown") -> bool:
        """Say whether no call is here that is not in `truth`, and none twice."""
        nothing = (0, 0)
        return all(
            calls <= truth.rows.get(key, nothing)[0] and total_ns <= truth.rows.get(key, nothing)[1]
            for key, (calls, total_ns) in self.rows.items()
        )


class Image(NamedTuple):
    """A data directory, and what was acknowledged until it came to be."""

    directory: Path
    states: list[Shown]
    """After each acknowledged operation; the last one is the truth."""

    def calls(self) -> int:
        """Return the calls of the current window."""
        return sum(calls for calls, _ in self.states[-1].rows.values())

    def acknowledged(self, generation: int) -> Shown:
        """Return the last acknowledged state of a window; an empty one for a window that a start began."""
        windows = {state.generation: state for state in self.states}
        return windows.get(generation, Shown(generation, {}))


async def shown_by(store: Store) -> tuple[Shown, int]:
    """Return what a store shows, and how much it says is set aside."""
    snapshot = await store.snapshot(Selection())
    rows = {key: (row.calls, row.total_ns) for key, row in snapshot.rows}
    return Shown(snapshot.generation, rows), sum(losses.set_aside for losses in snapshot.losses.values())


class Recording:
    """A store under some load, copied at moments of interest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clock = Clock()
        self._random = Random(1)
        self._seqs = dict.fromkeys(range(SENDERS), 0)
        self._states: list[Shown] = []
        self._store: Store

    async def open(self) -> None:
        """Start the store."""
        self._store = await open_store(make_settings(self._directory / "live"), clock_ns=self._clock)
        self._states = [(await shown_by(self._store))[0]]

    async def close(self) -> None:
        """Stop it, which writes all rows and cuts the journal."""
        await self._store.close()

    async def ingest(self, batches: int) -> None:
        """Count batches of some senders, each of a dozen names."""
        for _ in range(batches):
            sender = self._random.randrange(SENDERS)
            self._seqs[sender] += 1
            self._clock.ns += 10**9
            names = [f"GET /items/{n}" for n in self._random.sample(range(NAMES), 12)]
            durations = {name: [self._random.random() for _ in range(3)] for name in names}
            service = f"service {sender % 2}"
            batch = make_batch(durations, sender=f"s{sender}", seq=self._seqs[sender], service=service)
            await self._store.ingest(batch)
            self._states.append((await shown_by(self._store))[0])

    async def reset(self) -> None:
        """Begin a new window."""
        await self._store.reset()
        self._states.append((await shown_by(self._store))[0])

    def copy(self, name: str) -> Image:
        """Copy the directory as it stands."""
        image = self._directory / name
        shutil.copytree(self._directory / "live", image)
        return Image(image, list(self._states))


async def record_images(directory: Path) -> dict[str, Image]:
    """Return a directory after a stop, after crashes with most of the journal in the log or in the file, and after a
    crash right after a reset."""
    recording = Recording(directory)
    await recording.open()
    await recording.ingest(20)
    await recording.reset()
    await recording.ingest(30)
    await recording.close()
    images = {"stopped": recording.copy("stopped")}
    await recording.open()
    await recording.ingest(30)
    images["crashed"] = recording.copy("crashed")
    images["crashed, log moved"] = recording.copy("moved")
    with closing(sqlite3.connect(images["crashed, log moved"].directory / DATABASE_NAME)) as connection:
        connection.execute("SELECT count(*) FROM journal")
    await recording.reset()
    images["reset"] = recording.copy("reset")
    await recording.close()
    return images


Damage = Callable[[bytearray, Random], None]
"""Changes the content of a file that is not empty."""


def flip_a_bit(content: bytearray, random: Random) -> None:
    """Flip one bit anywhere."""
    content[random.randrange(len(content))] ^= 1 << random.randrange(8)


def flip_bits(content: bytearray, random: Random) -> None:
    """Flip sixteen bits anywhere."""
    for _ in range(16):
        flip_a_bit(content, random)


def overwrite_a_sector(content: bytearray, random: Random) -> None:
    """Put something else in the place of 512 bytes."""
    part = _part(content, random, 512)
    content[part] = random.randbytes(len(content[part]))


def zero_a_page(content: bytearray, random: Random) -> None:
    """Put zeros in the place of 4096 bytes."""
    part = _part(content, random, PAGE_BYTES)
    content[part] = bytes(len(content[part]))


def cut_the_tail(content: bytearray, random: Random) -> None:
    """End the file anywhere."""
    del content[random.randrange(len(content)) :]


def cut_pages(content: bytearray, random: Random) -> None:
    """End the file at a multiple of 4096 bytes, zero included."""
    del content[_part(content, random, PAGE_BYTES).start :]


def zero_everything(content: bytearray, _random: Random) -> None:
    """Leave nothing but the size."""
    content[:] = bytes(len(content))


DAMAGES: tuple[Damage, ...] = (
    *(flip_a_bit,) * 10,
    *(flip_bits,) * 4,
    *(cut_the_tail,) * 4,
    *(cut_pages, overwrite_a_sector, zero_a_page) * 2,
    zero_everything,
)
"""Each as often as it is to be tried."""
CUTS: tuple[Damage, ...] = (cut_the_tail, cut_pages)


def _part(content: bytearray, random: Random, size: int) -> slice:
    start = random.randrange(0, len(content), size)
    return slice(start, start + size)
