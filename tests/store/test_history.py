"""How the embedded store ages its history: minutes to hours, hours to nothing, whatever happens in between."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from chronoprof_sidecar.domain.history import History, Span
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded import hours, minutes, reading, retention
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.records import HISTORY_KINDS, HOUR, HOUR_LOSSES, Slot
from chronoprof_sidecar.store.embedded.retention import Retention
from chronoprof_sidecar.store.embedded.store import EmbeddedStore
from tests.store.bodies import make_batch
from tests.store.harness import MINUTE_NS, StoreHarness
from tests.store.history_contract import ask, calls_of
from tests.store.test_embedded import CrashImages, harness, images, make_harness

__all__ = ["harness", "images"]
FULL_HOUR = 29_833_320
"""A minute that begins an hour."""
ALL_OF_IT = Span(0, FULL_HOUR + 7000)


@pytest.fixture(autouse=True)
def short_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep 3 minutes and 2 hours, age them row by row, and read them in the smallest of slices."""
    monkeypatch.setattr(minutes, "KEPT_MINUTES", 3)
    monkeypatch.setattr(hours, "KEPT_HOURS", 2)
    monkeypatch.setattr(retention, "ADDED_ROWS", 2)
    monkeypatch.setattr(retention, "ERASED_ROWS", 2)
    monkeypatch.setattr(reading, "SLICE_SECONDS", 0)
    monkeypatch.setattr(reading, "SLICE_ROWS", 2)


async def settle(store: Store) -> None:
    """Return when the store has nothing to do any more."""
    assert isinstance(store, EmbeddedStore)
    upkeep = store._parts.writer._upkeep
    await wait_while(lambda: upkeep.due_in_seconds() <= 0, store)


async def wait_while(condition: Callable[[], bool], store: EmbeddedStore) -> None:
    """Return when a condition no longer holds; looks after each call that the disk's thread has ended.

    Looking without a pause would keep the interpreter from that thread.
    """
    async with asyncio.timeout(60):
        while condition():
            await store._parts.database.run(bool)


def retention_of(store: Store) -> Retention:
    """Return what ages the history of a store."""
    assert isinstance(store, EmbeddedStore)
    return store._parts.writer._upkeep._retention


async def count_at(harness: StoreHarness, store: Store, *at: int) -> None:
    """Count a call of `all`, one of a function of that minute and one lost call in each of these minutes."""
    for minute in at:
        harness.clock.ns = minute * MINUTE_NS
        harness.uptime_seconds += 10
        await store.ingest(make_batch({"all": [1.0], f"f{minute}": [0.5], "b": [2.0]}, dropped=1))
        await settle(store)


def shape_of(history: History) -> list[tuple[Span, int, int]]:
    """Return span, calls of `all` and lost calls of every step that has any."""
    return [
        (step.span, step.rows["all"].calls, sum(losses.dropped for losses in step.losses.values()))
        for step in history.steps
        if step.rows
    ]


async def test_minutes_beyond_those_kept_are_in_their_hours(harness: StoreHarness) -> None:
    """The oldest minutes become one stretch of their hour, with losses, and say from when to when it reaches."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in (10, 20, 30, 31, 32)))
    expected = [
        (Span(FULL_HOUR + 10, FULL_HOUR + 21), 2, 2),
        *((Span(FULL_HOUR + n, FULL_HOUR + n + 1), 1, 1) for n in (30, 31, 32)),
    ]
    assert shape_of(await ask(store, ALL_OF_IT, step=1)) == expected
    assert shape_of(await ask(store, Span(FULL_HOUR + 21, FULL_HOUR + 60), step=1)) == expected[1:]
    store = await harness.open()
    assert shape_of(await ask(store, ALL_OF_IT, step=1)) == expected
    await harness.close()


async def test_hours_beyond_those_kept_are_erased(harness: StoreHarness, tmp_path: Path) -> None:
    """The oldest hours go with all that they hold, rows, losses and lists, and nothing else does."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + 60 * n + 5 for n in range(7)))
    assert [span.start for span, _, _ in shape_of(await ask(store, ALL_OF_IT, step=1))] == [
        FULL_HOUR + 60 * n + 5 for n in range(2, 7)
    ]
    await harness.close()
    with closing(sqlite3.connect(tmp_path / "data" / "chronoprof.db")) as connection:
        spans = connection.execute("SELECT DISTINCT kind, span FROM rows WHERE kind IN (5, 6) ORDER BY kind, span")
        assert spans.fetchall() == [(kind, FULL_HOUR // 60 + n) for kind in (HOUR, HOUR_LOSSES) for n in (2, 3)]


async def test_an_hour_that_is_being_erased_is_not_read(
    harness: StoreHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first rows of it that go, an hour is in no answer, nor after a crash there, and its rest goes first."""
    store = await harness.open(checkpoint_interval_seconds=1)
    minutes_counted = [FULL_HOUR + 60 * n + 5 for n in range(6)]
    await count_at(harness, store, *minutes_counted[:-1])
    answers: list[History] = []
    step = Retention.step

    async def step_and_read(self: Retention) -> list[Slot]:
        damaged = await step(self)
        answers.append(await ask(store, ALL_OF_IT, step=1))
        shutil.copytree(tmp_path / "data", tmp_path / f"crashed {len(answers)}")
        return damaged

    with monkeypatch.context() as patch:
        patch.setattr(Retention, "step", step_and_read)
        patch.setattr(reading, "AGEING_STEPS", 0)
        await count_at(harness, store, minutes_counted[-1])
        assert isinstance(store, EmbeddedStore)
        ageing = retention_of(store)
        await wait_while(lambda: ageing._pending, store)
    await harness.close()
    assert len(answers) > 4
    for number in range(1, len(answers) + 1):
        image = tmp_path / f"crashed {number}"
        survivor = make_harness(image)
        survivor.clock.ns = harness.clock.ns
        store = await survivor.open(checkpoint_interval_seconds=1)
        answers.append(await ask(store, ALL_OF_IT, step=1))
        await count_at(survivor, store, minutes_counted[-1])
        await survivor.close()
        with closing(sqlite3.connect(image / "chronoprof.db")) as connection:
            spans = connection.execute("SELECT DISTINCT span FROM rows WHERE kind IN (5, 6) ORDER BY span").fetchall()
        assert spans == [(FULL_HOUR // 60 + n,) for n in (1, 2)]
    for answer in answers:
        steps = [step for step in answer.steps if step.rows or step.losses]
        assert 5 <= len(steps) <= 6
        assert all(len(step.rows) == 3 and step.losses for step in steps)


async def test_an_erased_history_is_not_kept_by_a_restart(harness: StoreHarness, tmp_path: Path) -> None:
    """Once the history was erased, a start right after that knows of no minute or hour either."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(5)))
    assert (await ask(store, ALL_OF_IT)).span.start == FULL_HOUR
    await store.reset(erase_history=True)
    shutil.copytree(tmp_path / "data", tmp_path / "crashed")
    await harness.close()
    survivor = make_harness(tmp_path / "crashed")
    survivor.clock.ns = harness.clock.ns
    assert (await ask(await survivor.open(), ALL_OF_IT)).span == ALL_OF_IT
    await survivor.close()


async def test_a_clock_set_back_ages_what_was_written_first(harness: StoreHarness) -> None:
    """Minutes that come after a jump back are the newest, whatever their numbers; a minute that comes twice adds up."""
    store = await harness.open(checkpoint_interval_seconds=1)
    later = [FULL_HOUR + 6000 + n for n in range(3)]
    await count_at(harness, store, *later, FULL_HOUR, FULL_HOUR + 1)
    await count_at(harness, store, *later[:2])
    history = shape_of(await ask(store, ALL_OF_IT, step=1))
    assert history == [
        (Span(FULL_HOUR, FULL_HOUR + 1), 1, 1),
        (Span(FULL_HOUR + 1, FULL_HOUR + 2), 1, 1),
        (Span(later[0], later[2] + 1), 5, 5),
    ]
    await harness.close()


async def test_a_full_history_coarsens_early(harness: StoreHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bytes the oldest minutes become hours, then the oldest hours go; the newest minutes stay."""
    monkeypatch.setattr(minutes, "KEPT_MINUTES", 1000)
    monkeypatch.setattr(retention, "LEAST_MINUTES", 2)
    monkeypatch.setattr(retention, "ADDED_ROWS", 200)
    store = await harness.open(checkpoint_interval_seconds=1, max_history_bytes=800_000)
    for hour in range(5):
        for minute in range(0, 60, 12):
            harness.clock.ns = (FULL_HOUR + hour * 60 + minute) * MINUTE_NS
            harness.uptime_seconds += 10
            await store.ingest(make_batch({f"{number:0100}": [0.001 * number, 1] for number in range(200)}))
            await settle(store)
    assert isinstance(store, EmbeddedStore)
    assert store._parts.database.thing.used_bytes() <= 800_000
    history = await ask(store, ALL_OF_IT, step=1)
    kept = [step for step in history.steps if step.rows]
    lengths = [step.span.end - step.span.start for step in kept]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 1
    assert lengths[-2:] == [1, 1]
    await harness.close()


async def test_nobody_s_minutes_move_while_he_reads(harness: StoreHarness) -> None:
    """A minute that grows old during a query is in its answer once, and becomes an hour after it."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(6)))
    for n in range(6, 40):
        harness.clock.ns = (FULL_HOUR + n) * MINUTE_NS
        harness.uptime_seconds += 10
        answer, _ = await asyncio.gather(ask(store, ALL_OF_IT, step=1), store.ingest(make_batch({"all": [1.0]})))
        assert calls_of(answer)["all"] in (n, n + 1)
    await settle(store)
    assert len(shape_of(await ask(store, ALL_OF_IT, step=1))) == 4
    await harness.close()


async def test_readers_that_never_pause_let_the_history_age(harness: StoreHarness) -> None:
    """While one query waits for the other all the time, minutes become hours all the same; nobody counts one twice."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(3)))
    assert isinstance(store, EmbeddedStore)
    stop = asyncio.Event()

    async def read_on() -> None:
        while not stop.is_set():
            assert calls_of(await ask(store, ALL_OF_IT, step=1))["all"] >= 3

    readers = asyncio.gather(*(read_on() for _ in range(3)))
    for n in range(3, 9):
        harness.clock.ns = (FULL_HOUR + n) * MINUTE_NS
        harness.uptime_seconds += 10
        await store.ingest(make_batch({"all": [1.0]}))
    ageing = retention_of(store)
    await wait_while(lambda: FULL_HOUR + 8 not in ageing.minutes or len(ageing.minutes) > 3, store)
    stop.set()
    await readers
    assert calls_of(await ask(store, ALL_OF_IT))["all"] == 9
    await harness.close()


async def test_a_minute_of_no_calls_is_none_that_is_kept(harness: StoreHarness) -> None:
    """Batches that say no more than that their senders live push no minute out of the history, nor after a crash."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(3)))
    for seq in range(1, 9):
        harness.clock.ns += MINUTE_NS
        harness.uptime_seconds += 10
        await store.ingest(make_batch({}, sender="idle", seq=seq))
        await settle(store)
    assert list(retention_of(store).minutes) == [FULL_HOUR + n for n in range(3)]
    await harness.close()


async def test_a_query_that_ends_has_ageing_go_on_at_once(harness: StoreHarness) -> None:
    """What waited for a query is not put off until the next checkpoint."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(3)))
    assert isinstance(store, EmbeddedStore)
    ageing = retention_of(store)
    ageing.hold()
    harness.clock.ns = (FULL_HOUR + 3) * MINUTE_NS
    harness.uptime_seconds += 10
    await store.ingest(make_batch({"all": [1.0]}))
    await wait_while(lambda: len(ageing.minutes) < 4, store)
    ageing.release()
    await ask(store, ALL_OF_IT)
    await wait_while(lambda: len(ageing.minutes) > 3, store)
    await harness.close()


async def test_a_reader_that_comes_before_a_minute_moves_holds_it(
    harness: StoreHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that begins once ageing has looked at the file, and not yet moved a minute, finds it where it was."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(3)))
    loop, captured, held = asyncio.get_running_loop(), threading.Event(), asyncio.Event()
    reading_now: list[asyncio.Task[History]] = []
    monkeypatch.setattr(retention, "ADDED_ROWS", 200)
    monkeypatch.setattr(reading, "AGEING_STEPS", 0)
    used_bytes, hold = Database.used_bytes, Retention.hold

    def read_meanwhile(database: Database) -> int:
        if not reading_now:
            loop.call_soon_threadsafe(lambda: reading_now.append(asyncio.ensure_future(ask(store, ALL_OF_IT))))
            assert captured.wait(10)
        return used_bytes(database)

    def hold_and_tell(self: Retention) -> None:
        hold(self)
        loop.call_soon(captured.set)
        loop.call_soon(held.set)

    monkeypatch.setattr(Database, "used_bytes", read_meanwhile)
    monkeypatch.setattr(Retention, "hold", hold_and_tell)
    harness.clock.ns = (FULL_HOUR + 3) * MINUTE_NS
    harness.uptime_seconds += 10
    await store.ingest(make_batch({"all": [1.0]}))
    await settle(store)
    async with asyncio.timeout(30):
        await held.wait()
    expected = {"all": 4, "b": 3, **{f"f{FULL_HOUR + n}": 1 for n in range(3)}}
    assert calls_of(await reading_now[0]) == expected
    await harness.close()


@pytest.mark.parametrize("kind", HISTORY_KINDS)
async def test_a_damaged_record_of_the_history_is_told(harness: StoreHarness, tmp_path: Path, kind: int) -> None:
    """It costs itself, makes its span incomplete before and after it grows old, no other span and no window."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(5)))
    await harness.close()
    with closing(sqlite3.connect(tmp_path / "data" / "chronoprof.db")) as connection, connection:
        first = "SELECT rowid, record FROM rows WHERE kind = ? ORDER BY span, function_name LIMIT 1"
        rowid, record = connection.execute(first, (kind,)).fetchone()
        damaged = record[:-1] + bytes([record[-1] ^ 1])
        connection.execute("UPDATE rows SET record = ? WHERE rowid = ?", (damaged, rowid))
    store = await harness.open(checkpoint_interval_seconds=1)
    for newest in (FULL_HOUR + 4, FULL_HOUR + 8):
        assert (await ask(store)).losses()[""].set_aside == 1
        assert (await ask(store, Span(newest, newest + 90))).losses()[""].set_aside == 0
        assert calls_of(await ask(store, function_name=f"f{newest}")) == {f"f{newest}": 1}
        await count_at(harness, store, *(newest + n for n in range(1, 5)))
        assert not any(losses.set_aside for losses in (await store.snapshot(Selection())).losses.values())
    await harness.close()


async def test_a_crash_at_any_step_of_ageing_loses_and_doubles_nothing(tmp_path: Path, images: CrashImages) -> None:
    """Whatever transaction is the last: a start finds every acknowledged call in exactly one minute or hour, and the
    same once it has aged what it found."""
    harness = make_harness(tmp_path / "data")
    store = await harness.open(checkpoint_interval_seconds=0.001)
    for n in (0, 1, 2, 3, 58, 60, 3, 61):
        await count_at(harness, store, FULL_HOUR + n)
        images.acknowledged += 1
    await harness.close()
    steps, images.acknowledged = list(images.steps), -1
    for image, acknowledged in steps:
        survivor = make_harness(image)
        survivor.clock.ns = harness.clock.ns
        store = await survivor.open(checkpoint_interval_seconds=0.001)
        found = shape_of(await ask(store))
        assert sum(calls for _, calls, _ in found) in (acknowledged, acknowledged + 1)
        assert [(calls, lost) for _, calls, lost in found] == [(calls, calls) for _, calls, _ in found]
        survivor.uptime_seconds += 10
        await count_at(survivor, store, FULL_HOUR + 64)
        again = shape_of(await ask(store))
        assert sum(calls for _, calls, _ in again) == 1 + sum(calls for _, calls, _ in found)
        await survivor.close()
        shutil.rmtree(image)
    assert len(steps) > 40
