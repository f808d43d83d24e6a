"""The embedded store fulfils the contract, and what only it promises: a file, its damage, its crashes."""

import asyncio
import os
import shutil
import sqlite3
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import MalformedRequestError, SavesFullError, StoreError, UnavailableError
from chronoprof_sidecar.protocol import OTHER
from chronoprof_sidecar.settings import Settings, load_settings
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded import checkpoint, open_store
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.files import SaveDirectory
from chronoprof_sidecar.store.embedded.records import MINUTE, Slot, decode_statistics
from chronoprof_sidecar.store.embedded.store import EmbeddedStore
from chronoprof_sidecar.store.embedded.upkeep import CHECKPOINT_BYTES
from chronoprof_sidecar.store.save_rules import SaveLimits
from chronoprof_sidecar.wire.batches import decode_batch
from tests.store.bodies import make_batch
from tests.store.contract_suite import StoreContract, totals
from tests.store.harness import HOUR_NS, Clock, StoreHarness


def make_settings(directory: Path, **overrides: Any) -> Settings:
    """Return settings of a store in `directory`."""
    environ = {"CHRONOPROF_ADMIN_KEYS": "an admin key of tests", "CHRONOPROF_DATA_DIR": str(directory)}
    return replace(load_settings(environ), **overrides)


def make_harness(directory: Path) -> StoreHarness:
    """Return a harness of a store in `directory`."""

    async def open_with(overrides: dict[str, Any], clock: Clock, monotonic: Callable[[], float]) -> Store:
        return await open_store(make_settings(directory, **overrides), clock_ns=clock, monotonic=monotonic)

    return StoreHarness(open_with)


@pytest.fixture
def harness(tmp_path: Path) -> StoreHarness:
    return make_harness(tmp_path / "data")


class TestEmbeddedStore(StoreContract):
    """The whole contract."""


async def test_the_journal_grows_by_what_is_committed(harness: StoreHarness) -> None:
    """Until a checkpoint begins, the journal's size is that of all bodies and a little for each."""
    store = await harness.open(checkpoint_interval_seconds=3600.0)
    batch = make_batch({"a": [1]})
    for _ in range(3):
        await store.ingest(batch)
    assert 3 * len(batch.body) < (await store.figures()).journal_bytes < 3 * (len(batch.body) + 500)
    await harness.close()


async def test_a_second_sidecar_is_refused(harness: StoreHarness, tmp_path: Path) -> None:
    """Two processes on one directory would count apart: the second does not start, the first goes on."""
    store = await harness.open()
    with pytest.raises(StoreError, match="another sidecar uses"):
        await open_store(make_settings(tmp_path / "data"))
    await store.ingest(make_batch({"a": [1]}))
    await harness.close()


async def test_a_newer_schema_is_left_untouched(harness: StoreHarness, tmp_path: Path) -> None:
    """An older release refuses a newer file, and does not change a byte of it."""
    await harness.open()
    await harness.close()
    path = tmp_path / "data" / "chronoprof.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="newer release"):
        await harness.open()
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_set_aside(harness: StoreHarness, tmp_path: Path) -> None:
    """What cannot be opened is kept under another name, the store starts empty, and says that it is not complete."""
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "chronoprof.db").write_bytes(b"not a database" * 1000)
    store = await harness.open()
    (aside,) = directory.glob("chronoprof.db.damaged-*")
    assert aside.read_bytes() == b"not a database" * 1000
    assert (await store.snapshot(Selection())).losses[OTHER].set_aside == 1
    await harness.close()


@pytest.mark.parametrize("table", ["rows", "journal", "senders"])
async def test_a_damaged_record_costs_that_record(tmp_path: Path, table: str) -> None:
    """A flipped bit is noticed by its checksum, kept aside, told, and every other record counts."""
    harness = make_harness(tmp_path / "data")
    store = await harness.open()
    await store.ingest(make_batch({"a": [1]}, sender="s1"))
    await store.ingest(make_batch({"b": [1]}, sender="s2"))
    if table == "journal":
        shutil.copytree(tmp_path / "data", tmp_path / "crashed")
        harness_after = make_harness(tmp_path / "crashed")
    else:
        harness_after = harness
    await harness.close()
    directory = tmp_path / ("crashed" if table == "journal" else "data")
    with closing(sqlite3.connect(directory / "chronoprof.db")) as connection, connection:
        where = "WHERE kind = 1 AND function_name = 'a'" if table == "rows" else "WHERE rowid = 1"
        ((record,),) = connection.execute(f"SELECT record FROM {table} {where}").fetchall()
        connection.execute(f"UPDATE {table} SET record = ? {where}", (record[:-1] + bytes([record[-1] ^ 1]),))
    store = await harness_after.open()
    expected = {"b": (1, 10**9)} if table != "senders" else {"a": (1, 10**9), "b": (1, 10**9)}
    assert await totals(store) == expected
    losses = (await store.snapshot(Selection())).losses
    assert [each.set_aside for each in losses.values()] == ([] if table == "senders" else [1])
    await harness_after.close()
    with closing(sqlite3.connect(directory / "chronoprof.db")) as connection:
        assert connection.execute("SELECT origin FROM damaged").fetchall() == [(table,)]


async def test_a_full_disk_refuses_and_recovers(harness: StoreHarness) -> None:
    """Without space a batch gets UnavailableError, nothing is lost, and readiness says why."""
    store = await harness.open()
    await store.ingest(make_batch({"a": [1]}, sender="s"))
    store = await harness.open(min_free_bytes=2**62)
    with pytest.raises(UnavailableError, match="disk"):
        await store.ingest(make_batch({"a": [1]}, sender="s", seq=2))
    assert "disk" in (store.unready_reason() or "")
    assert await totals(store) == {"a": (1, 10**9)}
    store = await harness.open()
    assert (await store.ingest(make_batch({"a": [1]}, sender="s", seq=2))).accepted == 1
    await harness.close()


async def test_the_save_directory_is_bounded(harness: StoreHarness) -> None:
    """A full save directory refuses and deletes nothing, unless it was told how many to keep."""
    store = await harness.open(max_saves=2)
    await store.save("a.json")
    await store.save("b.json")
    with pytest.raises(SavesFullError):
        await store.save("c.json")
    await store.save("a.json")
    store = await harness.open(max_saves=2, keep_saves=2)
    await store.save("c.json")
    assert [save.name for save in await store.saves()] == ["c.json", "a.json"]
    await harness.close()


async def test_a_journal_of_nothing_is_cut(harness: StoreHarness) -> None:
    """A long journal of batches that a reset threw away is cut like any other, and leaves no step for ever due."""
    store = await harness.open()
    assert isinstance(store, EmbeddedStore)
    upkeep = store._parts.writer._upkeep
    upkeep.note_journaled(CHECKPOINT_BYTES)
    for _ in range(5):
        await upkeep.step()
    assert upkeep.due_in_seconds() > 0
    await harness.close()


async def test_saves_written_last_are_kept(harness: StoreHarness, tmp_path: Path) -> None:
    """Saves that a clock dated ahead, before it was set back, are deleted before those that come after them."""
    store = await harness.open(keep_saves=3)
    for name in ("a.json", "b.json", "c.json"):
        await store.save(name)
        ahead_ns = time.time_ns() + 10 * 365 * 24 * HOUR_NS
        os.utime(tmp_path / "data" / "saves" / name, ns=(ahead_ns, ahead_ns))
    for name, kept in (("d.json", "dcb"), ("e.json", "edc"), ("f.json", "fed"), ("c.json", "cfe")):
        await store.save(name)
        assert [f"{letter}.json" for letter in kept] == [save.name for save in await store.saves()]
    assert all(save.modified_ns <= time.time_ns() for save in await store.saves())
    await harness.close()


async def test_a_body_near_the_depth_limit_replays(harness: StoreHarness, tmp_path: Path) -> None:
    """What was accepted with little of the stack left is not refused by a replay that has less."""

    def decode(depth: int) -> Batch | None:
        try:
            return decode_batch(nested(depth))
        except MalformedRequestError:
            return None

    store = await harness.open()
    with ThreadPoolExecutor(1) as thread:  # where hardly anything is on the stack
        end = thread.submit(bisect_left, range(100_000), True, key=lambda depth: decode(depth) is None).result()
        batches = list(filter(None, thread.map(decode, range(end - 100, end))))
    for batch in batches:
        await store.ingest(batch)
    shutil.copytree(tmp_path / "data", tmp_path / "crashed")
    await harness.close()
    crashed = make_harness(tmp_path / "crashed")
    assert 90 < len(batches)
    assert await totals(await crashed.open()) == {"a": (len(batches), len(batches) * 10**9)}
    await crashed.close()


def nested(depth: int) -> bytes:
    """Return a body with a list of such a depth in a field that is ignored."""
    return f'{{"durations": {{"a": [1]}}, "ignored": {"[" * depth}{"]" * depth}}}'.encode()


async def test_links_lead_nowhere(harness: StoreHarness, tmp_path: Path) -> None:
    """A link in the save directory is neither listed, nor read, nor written through."""
    store = await harness.open()
    outside = tmp_path / "outside.json"
    outside.write_text("untouched")
    (tmp_path / "data" / "saves" / "link.json").symlink_to(outside)
    assert await store.saves() == []
    with pytest.raises(Exception, match="there is no save"):
        await store.open_save("link.json")
    with pytest.raises(Exception, match="not a regular file"):
        await store.save("link.json")
    assert outside.read_text() == "untouched"
    await harness.close()


def test_a_directory_in_a_save_s_place_costs_nothing(tmp_path: Path) -> None:
    """Found when the name is taken, the save is refused and leaves nothing behind."""
    saves = SaveDirectory(tmp_path, SaveLimits(10, 2**30, 0))
    (tmp_path / "a.json").mkdir()
    with pytest.raises(UnavailableError, match="directory"):
        saves.write("a.json", [b"{}"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    saves.close()


def test_a_rotated_window_is_kept_under_another_name(tmp_path: Path) -> None:
    """The file of a window that is over survives a start that finds its name taken by a directory."""
    saves = SaveDirectory(tmp_path, SaveLimits(10, 2**30, 0))
    temporary = saves.write_temporary([b"{}"])
    (tmp_path / "a.json").mkdir()
    (tmp_path / ".save-0123456789abcdef.tmp").mkdir()
    for _ in range(2):
        saves.finish(temporary, "a.json")
        saves.discard_leftovers()
    (kept,) = saves.list()
    assert kept.name.startswith("a-")
    assert (tmp_path / kept.name).read_bytes() == b"{}"
    saves.close()


async def test_queue_is_bounded_in_bytes(tmp_path: Path) -> None:
    """A queue that is full refuses what comes next, and serves what it took."""
    harness = make_harness(tmp_path / "data")
    store = await harness.open(max_queue_bytes=4096)
    waiting = [asyncio.ensure_future(store.ingest(make_batch({"a": [1.0] * 200}))) for _ in range(20)]
    results = await asyncio.gather(*waiting, return_exceptions=True)
    accepted = [result for result in results if not isinstance(result, BaseException)]
    refused = [result for result in results if isinstance(result, UnavailableError)]
    assert len(accepted) + len(refused) == 20
    assert len(refused) > 0
    assert (await totals(store))["a"][0] == 200 * len(accepted)
    await harness.close()


class CrashImages:
    """Copies of a store's directory as a crash right after each transaction would leave it."""

    def __init__(self, directory: Path, images: Path) -> None:
        self._directory = directory
        self._images = images
        self.steps: list[tuple[Path, int]] = []
        """Each image, and how many operations were acknowledged when it was taken."""
        self.acknowledged = 0

    def take(self) -> None:
        image = self._images / str(len(self.steps))
        shutil.copytree(self._directory, image)
        self.steps.append((image, self.acknowledged))


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CrashImages:
    """Take an image after every transaction of every database, and after every file that gets its name."""
    taken = CrashImages(tmp_path / "data", tmp_path / "images")
    transaction = Database.transaction

    @contextmanager
    def observed(database: Database) -> Iterator[None]:
        with transaction(database):
            yield
        if taken.acknowledged >= 0:
            taken.take()

    monkeypatch.setattr(Database, "transaction", observed)
    return taken


@pytest.mark.parametrize("interval_seconds", [0.001, 35.0], ids=["every operation", "every fourth"])
async def test_a_crash_after_any_transaction_loses_and_doubles_nothing(
    tmp_path: Path, images: CrashImages, monkeypatch: pytest.MonkeyPatch, interval_seconds: float
) -> None:
    """Whatever step of a commit, a checkpoint, a reset or a rotate is the last: the next start has each acknowledged
    operation exactly once, rows, losses, minutes, generation and files."""
    monkeypatch.setattr(checkpoint, "SLICE_ROWS", 2)
    monkeypatch.setattr(checkpoint, "CUT_ENTRIES", 1)
    harness = make_harness(tmp_path / "data")
    store = await harness.open(checkpoint_interval_seconds=interval_seconds)
    states = [await _state(store)]
    batches = [
        make_batch({f"f{seq % 5}": [0.1 * seq], "all": [1]}, sender="s", seq=seq, dropped=seq) for seq in range(1, 13)
    ]
    operations: list[Callable[[], Awaitable[Any]]] = [partial(store.ingest, batch) for batch in batches]
    operations.insert(5, store.reset)
    operations.insert(10, partial(store.rotate, "w.json"))
    for operation in operations:
        harness.uptime_seconds += 10
        await operation()
        states.append(await _state(store))
        images.acknowledged += 1
    await harness.close()
    steps, images.acknowledged = list(images.steps), -1
    assert len(steps) > 2 * len(operations)
    histories = [_history(states, count) for count in range(len(states))]
    for image, acknowledged in steps:
        survivor = make_harness(image)
        found = await _state(await survivor.open())
        await survivor.close()
        assert found in states[acknowledged : acknowledged + 2]
        assert read_minutes(image / "chronoprof.db") == histories[states.index(found)]


@pytest.mark.parametrize(
    ("max_entries", "max_bytes", "last"),
    [(9, 999, 7), (5, 500, 7), (4, 999, 6), (1, 999, 3), (9, 499, 6), (9, 200, 4), (9, 199, 3), (9, 1, 3)],
)
def test_a_piece_of_the_journal_keeps_within_its_bounds(
    tmp_path: Path, max_entries: int, max_bytes: int, last: int
) -> None:
    """It ends before the first entry that exceeds one of them, but holds one entry at least."""
    database = Database(tmp_path / "chronoprof.db", durability="normal", min_free_bytes=0)
    with closing(database):
        assert database.find_journal_piece(7, max_entries=max_entries, max_bytes=max_bytes) == 7
        with database.transaction():
            database.append_journal((lsn, bytes(100)) for lsn in range(3, 9))
        assert database.find_journal_piece(7, max_entries=max_entries, max_bytes=max_bytes) == last


async def _state(store: Store) -> tuple[Any, ...]:
    snapshot = await store.snapshot(Selection())
    senders = [(sender.id, sender.seq, sender.calls, sender.dropped) for sender in await store.senders()]
    losses = {service: each.dropped for service, each in snapshot.losses.items()}
    return snapshot.generation, await totals(store), losses, senders, [save.name for save in await store.saves()]


def _history(states: list[tuple[Any, ...]], count: int) -> dict[str, int]:
    """Return the calls per name that all windows together held after `count` operations."""
    calls: Counter[str] = Counter()
    for index in range(count + 1):
        ends_here = index == count or states[index + 1][0] != states[index][0]
        if ends_here:
            calls.update({name: row[0] for name, row in states[index][1].items()})
    return dict(calls)


def read_minutes(path: Path) -> dict[str, int]:
    """Return the calls per name of all minutes in a closed database."""
    calls: Counter[str] = Counter()
    with closing(sqlite3.connect(path)) as connection:
        for *key, record in connection.execute("SELECT * FROM rows WHERE kind = ?", (MINUTE,)):
            slot = Slot(*key)
            calls[slot.function_name] += decode_statistics(slot, record)[1].calls
    return dict(calls)
