"""How an erased history goes: from all answers at once, from the disk little by little."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chronoprof_sidecar.domain.history import Span
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded import leftovers, upkeep
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.records import HISTORY_KINDS, SUM_KINDS
from tests.store.bodies import make_batch
from tests.store.harness import MINUTE_NS, StoreHarness
from tests.store.history_contract import ask, calls_of
from tests.store.test_embedded import CrashImages, harness, images, make_harness
from tests.store.test_history import FULL_HOUR, count_at, settle, short_history

__all__ = ["harness", "images", "short_history"]
DAYS = Span(FULL_HOUR, FULL_HOUR + 300)


@pytest.fixture(autouse=True)
def small_slices(short_history: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Erase two rows at once, of the window before, too, and only after checkpoints that are due."""
    monkeypatch.setattr(upkeep, "STEPS_BETWEEN_ROUNDS", 0)
    monkeypatch.setattr(leftovers, "ERASED_ROWS", 2)
    monkeypatch.setattr(upkeep, "ERASED_ROWS", 1)


def rows_stored(directory: Path) -> int:
    """Return how many rows a closed database has of any history."""
    with closing(sqlite3.connect(directory / "chronoprof.db")) as connection:
        query = f"SELECT count(*) FROM rows WHERE kind IN {(*HISTORY_KINDS, *SUM_KINDS)}"
        count: int = connection.execute(query).fetchone()[0]
        return count


async def calls_since(store: Store) -> dict[str, int]:
    """Return the calls of the history per function, once those of all together and the losses agree with them."""
    history = await ask(store, DAYS)
    together = await ask(store, DAYS, per_function=False)
    calls = calls_of(history)
    assert sum(calls_of(together).values()) == sum(calls.values())
    assert sum(losses.dropped for losses in history.losses().values()) == calls.get("all", 0)
    return calls


async def test_no_transaction_erases_much(
    harness: StoreHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erasing the history is as many small transactions as it takes, so batches never wait for more than one of them;
    in the end nothing is left."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in (0, 1, 58, 60, 61, 62)))
    transaction, changed = Database.transaction, [0]

    @contextmanager
    def counted(database: Database) -> Iterator[None]:
        with transaction(database):
            before = database._connection._sqlite.total_changes
            yield
            changed.append(database._connection._sqlite.total_changes - before)

    monkeypatch.setattr(Database, "transaction", counted)
    await store.reset(erase_history=True)
    await settle(store)
    await harness.close()
    assert max(changed) <= 2 + 2  # rows, and two copies of what the database says of itself
    assert len(changed) > 8
    assert rows_stored(tmp_path / "data") == 0


@pytest.mark.parametrize("back_to", [62, 60, 1])
async def test_what_was_erased_is_in_no_answer_again(tmp_path: Path, images: CrashImages, back_to: int) -> None:
    """Whatever transaction after the reset is the last, and whichever minute or hour is counted next: a start finds
    what was counted since, once, and nothing of what was before."""
    harness = make_harness(tmp_path / "data")
    images.acknowledged = -1
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in (0, 1, 58, 60, 61, 62)))
    harness.clock.ns = (FULL_HOUR + back_to) * MINUTE_NS
    images.acknowledged = 0
    await store.reset(erase_history=True)
    for count in range(1, 4):
        harness.uptime_seconds += 10
        await store.ingest(make_batch({"all": [1.0], "b": [1.0]}, dropped=1))
        images.acknowledged = count
        assert await calls_since(store) == {"all": count, "b": count}
    await settle(store)
    steps, images.acknowledged = list(images.steps), -1
    await harness.close()
    assert len(steps) > 10
    for image, acknowledged in steps:
        survivor = make_harness(image)
        survivor.clock.ns = harness.clock.ns
        store = await survivor.open(checkpoint_interval_seconds=1)
        found = await calls_since(store)
        assert found.get("all", 0) in (acknowledged, acknowledged + 1)
        await count_at(survivor, store, FULL_HOUR + 1, FULL_HOUR + 63)
        assert (await calls_since(store))["all"] == found.get("all", 0) + 2
        await survivor.close()
        shutil.rmtree(image)


async def test_a_history_is_erased_twice(harness: StoreHarness, tmp_path: Path) -> None:
    """A second reset before the first has erased all forgets nothing of what is left, nor does a start after it."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(FULL_HOUR + n for n in range(6)))
    for _ in range(2):
        await store.reset(erase_history=True)
        await store.ingest(make_batch({"all": [1.0]}, dropped=1))
        assert await calls_since(store) == {"all": 1}
    shutil.copytree(tmp_path / "data", tmp_path / "crashed")
    await harness.close()
    survivor = make_harness(tmp_path / "crashed")
    survivor.clock.ns = harness.clock.ns
    store = await survivor.open(checkpoint_interval_seconds=1)
    await store.reset(erase_history=True)
    await settle(store)
    assert await calls_since(store) == {}
    await survivor.close()
    assert rows_stored(tmp_path / "crashed") == 0
