"""Hours of load in which workers come and go: what the sidecar holds stops growing."""

import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from chronoprof_sidecar.domain.senders import REMEMBERED_ENDED_MINUTES, REMEMBERED_MINUTES
from chronoprof_sidecar.store.embedded import hours, minutes
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.loading import DATABASE_NAME
from tests.faults.simulated import SimulatedStore
from tests.proof import Proof
from tests.scale import scaled
from tests.store.bodies import make_batch

FUNCTIONS = scaled(100, full=300)
WORKERS = 3
BATCHES_OF_A_WORKER = scaled(4, full=30)
DURATIONS = [0.0001 * 1.2**step for step in range(40)]
KEPT_MINUTES = scaled(8, full=180)
"""A history is as full with fewer minutes and hours than are really kept, only sooner."""
KEPT_HOURS = scaled(1, full=2)
FULL_AFTER_MINUTES = KEPT_MINUTES + scaled(0, full=KEPT_HOURS * 60)
LOADED_MINUTES = scaled(24, full=8 * 60)
SAMPLED_MINUTES = scaled(2, full=20)
QUIET_DAYS = 9
"""So that who went silent without a word is forgotten, too: after seven days."""
SHIFT = 6 * 60
"""Minutes from one batch to the next on quiet days."""

MIB = 1024 * 1024
MEMORY_GOAL = 1.1
FILE_GOAL = 1.02
LOG_GOAL_BYTES = 32 * MIB


class Size(NamedTuple):
    """What the store takes at one moment."""

    memory_bytes: int
    file_bytes: int
    """With what the log has for it."""
    log_bytes: int
    journal_entries: int


@dataclass
class Worker:
    """One process of an app, some of which end without a word."""

    sender: str
    says_goodbye: bool
    batches: int = 0
    last_minute: int = 0
    ended: bool = False


@dataclass
class Workers:
    """Those at work, and those that were."""

    draws: Random
    everyone: list[Worker] = field(default_factory=list)
    at_work: list[Worker] = field(default_factory=list)
    calls: int = 0

    async def send(self, simulated: SimulatedStore, minute: int, *, functions: int, last: int) -> None:
        """Have each worker send a batch, its `last` one perhaps; who ended is followed by another."""
        while len(self.at_work) < WORKERS:
            number = len(self.everyone)
            self.at_work.append(Worker(f"worker-{number}", says_goodbye=number % 3 > 0))
            self.everyone.append(self.at_work[-1])
        for worker in list(self.at_work):
            worker.batches += 1
            worker.last_minute = minute
            worker.ended = worker.batches >= last
            durations = {f"shop.views.function_{n}": [self.draws.choice(DURATIONS)] for n in range(functions)}
            final = worker.ended and worker.says_goodbye
            batch = make_batch(durations, sender=worker.sender, seq=worker.batches, final=final, service="shop")
            outcome = await simulated.store.ingest(batch)
            self.calls += outcome.accepted or 0
            if worker.ended:
                self.at_work.remove(worker)

    def remembered(self, minute: int, slack_minutes: int) -> set[str]:
        """Return those whose time is not over, if `slack_minutes` are added to it."""
        return {
            worker.sender for worker in self.everyone if minute - worker.last_minute < _patience(worker) + slack_minutes
        }


def _patience(worker: Worker) -> int:
    return REMEMBERED_ENDED_MINUTES if worker.ended and worker.says_goodbye else REMEMBERED_MINUTES


@pytest.fixture
def traced() -> Iterator[None]:
    """Count every byte that Python allocates from here on."""
    gc.collect()
    gc.freeze()  # what is there already need not be looked at again and again
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.unfreeze()


@pytest.mark.timeout(scaled(120, full=1200))
async def test_long_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traced: None, proof: Proof) -> None:
    """Under hours of load with workers that come and go, memory, files and senders stop growing once the history is
    full, and nobody is forgotten before their time."""
    monkeypatch.setattr(minutes, "KEPT_MINUTES", KEPT_MINUTES)
    monkeypatch.setattr(hours, "KEPT_HOURS", KEPT_HOURS)
    simulated = SimulatedStore(tmp_path / "data", durability="normal")
    await simulated.open()
    workers, sizes, senders = Workers(Random(WORKERS)), [], []
    for minute in range(LOADED_MINUTES):
        await workers.send(simulated, minute, functions=FUNCTIONS, last=BATCHES_OF_A_WORKER)
        await simulated.let_pass(60)
        await check_senders(simulated, workers, minute, slack_minutes=2)
        if minute >= FULL_AFTER_MINUTES and minute % SAMPLED_MINUTES == 0:
            sizes.append(await measure(simulated))
    for minute in range(LOADED_MINUTES, LOADED_MINUTES + QUIET_DAYS * 24 * 60, SHIFT):
        await workers.send(simulated, minute, functions=1, last=1)
        await simulated.let_pass(SHIFT * 60)
        senders.append(await check_senders(simulated, workers, minute, slack_minutes=2 * SHIFT))
    await simulated.close()

    full, later = sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :]
    memory, file = (max(size[n] for size in later) / max(size[n] for size in full) for n in (0, 1))
    log_bytes, journal = (max(size[n] for size in sizes) for n in (2, 3))
    proof.reached("simulated", f"{LOADED_MINUTES / 60:g} h of load and {QUIET_DAYS} quiet days")
    proof.reached("workers", len(workers.everyone))
    proof.reached("calls", workers.calls)
    proof.reached("memory", f"{max(later).memory_bytes / MIB:.1f} MiB, {memory:.3f} of what it was", goal=MEMORY_GOAL)
    proof.reached("file", f"{max(later).file_bytes / MIB:.1f} MiB, {file:.3f} of what it was", goal=FILE_GOAL)
    proof.reached("log at most", f"{log_bytes / MIB:.1f} MiB", goal=f"{LOG_GOAL_BYTES // MIB} MiB")
    proof.reached("journal at most", f"{journal} batches", goal=2 * WORKERS)
    proof.reached("senders remembered", f"{max(senders)} at most, {senders[-1]} in the end")
    assert memory <= MEMORY_GOAL
    assert file <= FILE_GOAL
    assert log_bytes <= LOG_GOAL_BYTES
    assert journal <= 2 * WORKERS


async def check_senders(simulated: SimulatedStore, workers: Workers, minute: int, *, slack_minutes: int) -> int:
    """Hold who is remembered against whose time is over, and return how many they are."""
    remembered = {sender.id for sender in await simulated.store.senders()}
    assert workers.remembered(minute, 0) <= remembered <= workers.remembered(minute, slack_minutes)
    return len(remembered)


async def measure(simulated: SimulatedStore) -> Size:
    """Return what the store takes now."""
    parts = simulated.store._parts
    journal = await parts.database.run(Database.load_journal)
    pages, page_size = [await parts.database.run(_read_pragma, name) for name in ("page_count", "page_size")]
    gc.collect()
    return Size(
        memory_bytes=tracemalloc.get_traced_memory()[0],
        file_bytes=pages * page_size,
        log_bytes=(simulated.data / f"{DATABASE_NAME}-wal").stat().st_size,
        journal_entries=len(journal),
    )


def _read_pragma(database: Database, name: str) -> int:
    value: int = database._connection.read(f"PRAGMA {name}")[0][0]
    return value
