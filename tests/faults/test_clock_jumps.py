"""A wall clock that jumps by a day and by ten years, both ways: nothing lost, negative, or forgotten too soon."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.protocol import bucket_of
from chronoprof_sidecar.store.embedded import minutes
from chronoprof_sidecar.store.embedded.loading import DATABASE_NAME
from chronoprof_sidecar.store.embedded.records import MINUTE, Slot, decode_statistics
from chronoprof_sidecar.wire.reports import render_senders
from tests.faults.simulated import SECOND_NS, SimulatedStore
from tests.faults.stored import counted_in, read_history, read_save
from tests.proof import Proof
from tests.scale import scaled
from tests.store.bodies import make_batch
from tests.store.harness import START_NS, StoreHarness
from tests.store.test_embedded import make_harness

if TYPE_CHECKING:
    from chronoprof_sidecar.domain.batch import Batch
    from chronoprof_sidecar.store.contract import Store

DAY = 24 * 3600
TEN_YEARS = 3652 * DAY
JUMPS = {"a day back": -DAY, "a day ahead": DAY, "ten years back": -TEN_YEARS, "ten years ahead": TEN_YEARS}

STEPS = scaled(200, full=4000)
SENDERS = 5
CHECKPOINT_SECONDS = 5.0


@pytest.fixture
def harness(tmp_path: Path) -> StoreHarness:
    """Opens a store whose two clocks the test moves."""
    return make_harness(tmp_path / "data")


class Walk:
    """One store after the other on one directory, through whatever an operator, senders and the clock do to it."""

    def __init__(self, harness: StoreHarness, data: Path, draws: Random) -> None:
        self._harness = harness
        self._data = data
        self._draws = draws
        self._seq: Counter[str] = Counter()
        self._last: dict[str, Batch] = {}
        self.store: Store
        self.acknowledged: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()
        """Calls of windows that are over."""
        self.done: Counter[str] = Counter()

    async def start(self) -> None:
        """Open the store, closing it first if it is open."""
        self.store = await self._harness.open(checkpoint_interval_seconds=CHECKPOINT_SECONDS)

    async def step(self) -> None:
        """Do one thing, then let some time pass on both clocks."""
        actions = (self.ingest, self.repeat, self.jump, self.start, self.save, self.rotate, self.reset)
        action = self._draws.choices(actions, weights=(60, 15, 10, 3, 4, 4, 4))[0]
        self.done[action.__name__] += 1
        await action()
        self._let_pass(self._draws.choice((0.0, 0.3, 1.0, 7.0, 70.0)))

    async def ingest(self) -> None:
        """Send a sender's next batch."""
        sender = f"sender-{self._draws.randrange(SENDERS)}"
        self._seq[sender] += 1
        seq = self._seq[sender]
        names = {f"f{self._draws.randrange(9)}": [0.001 * seq] * self._draws.randint(1, 3) for _ in range(3)}
        batch = make_batch(names, sender=sender, seq=seq, dropped=1)
        outcome = await self.store.ingest(batch)
        assert (False, batch.calls) == (outcome.duplicate, outcome.accepted)
        self.acknowledged.update({name: len(calls) for name, calls in names.items()})
        self._last[sender] = batch

    async def repeat(self) -> None:
        """Send a sender's last batch again."""
        if self._last:
            batch = self._draws.choice(list(self._last.values()))
            outcome = await self.store.ingest(batch)
            assert (True, batch.calls) == (outcome.duplicate, outcome.accepted)

    async def jump(self) -> None:
        """Set the wall clock wrong, or right again."""
        offset_seconds = self._draws.choice((0, *JUMPS.values()))
        self._harness.clock.ns = START_NS + round((self._harness.uptime_seconds + offset_seconds) * SECOND_NS)

    async def save(self) -> None:
        """Save the window under a name made of the time."""
        info = await self.store.save()
        saved = read_save(self._data / "saves" / info.name)
        assert saved.window_start_ns <= saved.taken_ns
        assert self._in_window() == counted_in(saved).calls

    async def rotate(self) -> None:
        """Save the window and begin the next."""
        rotation = await self.store.rotate(f"window-{self.done['rotate']}.json")
        saved = read_save(self._data / "saves" / rotation.save.name)
        assert self._in_window() == counted_in(saved).calls
        self.elsewhere = Counter(self.acknowledged)

    async def reset(self) -> None:
        """Throw the window away; the history keeps it."""
        await self.store.reset()
        self.elsewhere = Counter(self.acknowledged)

    async def check(self) -> None:
        """Hold everything that can be asked for against what was acknowledged, and times against each other."""
        snapshot = await self.store.snapshot(Selection())
        assert self._in_window() == counted_in(snapshot).calls
        assert snapshot.window_start_ns <= snapshot.taken_ns
        for _, row in snapshot.rows:
            assert snapshot.window_start_ns <= row.first_seen_ns <= row.last_seen_ns
        senders = await self.store.senders()
        assert self._last.keys() == {sender.id for sender in senders}
        assert all(earlier.active_minute <= later.active_minute for earlier, later in pairwise(senders))
        for sender in json.loads(render_senders(senders, self._harness.clock.ns))["senders"]:
            assert sender["first_batch"] <= sender["last_batch"]
            assert sender["silent_seconds"] >= 0

    def _in_window(self) -> Counter[str]:
        return self.acknowledged - self.elsewhere

    def _let_pass(self, seconds: float) -> None:
        self._harness.uptime_seconds += seconds
        self._harness.clock.ns += round(seconds * SECOND_NS)


@pytest.mark.timeout(scaled(120, full=600))
async def test_a_clock_that_jumps_changes_no_figure(harness: StoreHarness, tmp_path: Path, proof: Proof) -> None:
    """While the wall clock jumps by a day and by ten years, both ways, every call counts once and no figure is
    negative, across repeats, checkpoints, restarts, saves, rotates and resets."""
    walk = Walk(harness, tmp_path / "data", Random(STEPS))
    await walk.start()
    for _ in range(STEPS):
        await walk.step()
        await walk.check()
    await harness.close()
    history = read_history(tmp_path / "data").calls
    proof.reached("jumps", walk.done["jump"])
    proof.reached("other steps", f"{STEPS - walk.done['jump']}, {walk.done['start']} of them restarts")
    proof.reached("acknowledged", f"{walk.acknowledged.total()} calls")
    proof.reached("repeats counted twice or refused", 0, goal=0)
    proof.reached("calls that the history lacks", (walk.acknowledged - history).total(), goal=0)
    assert walk.acknowledged == history


KEPT_MINUTES = scaled(30, full=minutes.KEPT_MINUTES)
WITHIN_HISTORY = {"back into its own history": -(KEPT_MINUTES * 2 // 3) * 60}
BEFORE, MEANWHILE, AFTER = 1e-6, 1e-3, 1.0
"""Durations that tell in the history when a call was made: before the jump, until the clock was set right, then."""


@pytest.mark.timeout(scaled(120, full=600))
@pytest.mark.parametrize("jump", JUMPS | WITHIN_HISTORY)
async def test_a_clock_that_jumps_ages_no_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: str, proof: Proof
) -> None:
    """While the clock is wrong, and once it is right, the history keeps the minutes that were counted last."""
    monkeypatch.setattr(minutes, "KEPT_MINUTES", KEPT_MINUTES)
    simulated = SimulatedStore(tmp_path / "data", durability="normal")
    offset_seconds = (JUMPS | WITHIN_HISTORY)[jump]
    meanwhile = KEPT_MINUTES // 3
    after = KEPT_MINUTES - meanwhile + 5
    parts = ((BEFORE, KEPT_MINUTES + 5, 0), (MEANWHILE, meanwhile, offset_seconds), (AFTER, after, -offset_seconds))
    await simulated.open()
    for duration, length, jump_seconds in parts:
        simulated.jump(jump_seconds)
        store = await simulated.open()
        for _ in range(length):
            await store.ingest(make_batch({"f": [duration]}))
            await simulated.let_pass(60)
    await simulated.close()
    kept = minutes_by_duration(tmp_path / "data")
    goal = Counter({bucket_of(MEANWHILE): KEPT_MINUTES - after, bucket_of(AFTER): after})
    lacking = (goal - kept).total()
    proof.reached("minutes counted", sum(length for _, length, _ in parts))
    proof.reached(f"of the last {KEPT_MINUTES} expired", lacking, goal=0)
    proof.reached("kept of those before", kept[bucket_of(BEFORE)])
    assert 0 == lacking


def minutes_by_duration(data: Path) -> Counter[int]:
    """Return how many calls the history of a closed store holds, by the bucket of their duration."""
    calls: Counter[int] = Counter()
    with closing(sqlite3.connect(data / DATABASE_NAME)) as database:
        for *key, record in database.execute("SELECT * FROM rows WHERE kind = ?", (MINUTE,)):
            buckets, counts = decode_statistics(Slot(*key), record)[1].histogram.to_sparse()
            calls.update(dict(zip(buckets, counts, strict=True)))
    return calls
