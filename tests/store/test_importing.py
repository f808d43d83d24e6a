"""The move from the embedded store to the fleet: everything arrives, exactly, and once."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chronoprof_sidecar.domain.history import Span
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import FileExistsConflictError, StoreError, UnavailableError
from chronoprof_sidecar.protocol import OTHER, bucket_of
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded import minutes
from chronoprof_sidecar.store.embedded.handover import hold
from chronoprof_sidecar.store.holdings import HeldStretch
from chronoprof_sidecar.store.postgresql import upkeep
from chronoprof_sidecar.store.postgresql.importing import Imported, import_into
from tests.store.bodies import make_batch
from tests.store.contract_suite import read_save, rows_of, totals
from tests.store.harness import MINUTE_NS, START_NS, StoreHarness
from tests.store.history_contract import NOW, ask, values_of
from tests.store.server import PostgresqlServer
from tests.store.test_embedded import make_harness
from tests.store.test_embedded import make_settings as make_embedded_settings
from tests.store.test_postgresql import execute, make_settings, replicas, require_standby, until_async

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
LABELS = (("shop", "1"), ("shop", "2"), ("till", ""))
KEPT = 6
"""Minutes that the embedded store keeps one by one here: older ones are hours by the time of the move."""
SERVED = 14
SPAN = Span(NOW - 100, NOW + 200)
SAMPLED = 2**20 * 10**6
"""Calls of one item, beyond 32 bits."""
LATER_NS = START_NS + 10_000 * MINUTE_NS


@pytest.fixture
def home(tmp_path: Path) -> StoreHarness:
    """The embedded store that is moved; its directory is `data`."""
    return make_harness(tmp_path / "data")


@pytest.fixture(autouse=True)
def _few_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes, "KEPT_MINUTES", KEPT)


async def fill(home: StoreHarness, **settings: Any) -> Store:
    """Have the embedded store count for some minutes, in two windows, with losses of every kind."""
    store = await home.open(checkpoint_interval_seconds=0.001, **settings)
    for number in range(SERVED):
        home.clock.ns = START_NS + number * 7 * MINUTE_NS
        home.uptime_seconds += 1
        for place, (service, version) in enumerate(LABELS):
            functions = {f"f{number % 3}": [1e-9 * number, 0.5], "GET /a": [0.001 * place + 0.25]}
            lost = {"dropped": number, "rejected": place, "unknown": number % 2, "span_seconds": 61.0 * (number % 2)}
            batch = make_batch(
                functions, sender=f"{service}-{version}", seq=number + 1, service=service, version=version, **lost
            )
            await store.ingest(batch)
        if number == SERVED // 2:
            await store.save("table.csv")
            await store.rotate("first.json")
    store = await home.open(checkpoint_interval_seconds=3600.0, **settings)
    home.clock.ns += MINUTE_NS
    figures = {"calls": 2**20, "errors": 2, "total_ns": 2**32, "min_ns": 4096, "max_ns": 4096}
    sampled = figures | {"buckets": [bucket_of(4096e-9)], "counts": [2**20], "sample_every": 10**6}
    outcome = await store.ingest(make_batch(functions={"sampled": sampled}, service="shop", version="1"))
    assert outcome.accepted == SAMPLED
    await store.ingest(
        make_batch({"only in the journal": [0.125], "f0": [2.0]}, service="shop", version="2", dropped=1)
    )
    return store


async def figures_of(store: Store) -> dict[str, Any]:
    """Return everything that a store answers of what it counted, as values that compare."""
    found: dict[str, Any] = {}
    window = await store.snapshot(Selection())
    found["window"] = rows_of(window), window.losses, window.services
    for service, version in LABELS:
        history = await ask(store, SPAN, step=1, service=service, version=version)
        found[f"{service} {version}"] = [
            (step.span, {name: values_of(row) for name, row in step.rows.items()}, step.losses)
            for step in history.steps
            if step.rows or step.losses
        ]
    found["senders"] = sorted(sender._replace(active_minute=0) for sender in await store.senders())
    found["saves"] = {save.name: await read_save(store, save.name) for save in await store.saves()}
    return found


async def move(url: str, directory: Path, **overrides: Any) -> Imported:
    """Import a data directory, as the command does."""
    with hold(make_embedded_settings(directory), LATER_NS) as holdings:
        return await import_into(make_settings(url, **overrides), [], holdings, LATER_NS)


@asynccontextmanager
async def fleet(url: str, **overrides: Any) -> AsyncIterator[Store]:
    """Run one replica."""
    async with replicas(url, 1, **overrides) as (store,):
        yield store


async def test_everything_arrives(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """Window, minutes, hours, losses, senders and saves are at the fleet what they were at home: to the nanosecond and
    the last bucket, also what only the journal of a killed sidecar holds; and a second import changes nothing."""
    before = await figures_of(await fill(home))
    shutil.copytree(tmp_path / "data", tmp_path / "killed")
    await home.close()
    done = await move(url, tmp_path / "killed")
    assert (done.store, done.senders, sorted(done.saves)) == (True, 3, ["first.json", "table.csv"])
    assert done.hours > 0
    assert done.minutes > 0
    for attempt in range(2):
        async with fleet(url) as store:
            assert await figures_of(store) == before, attempt
        assert not (await move(url, tmp_path / "killed")).store


async def test_a_fleet_that_counts_already_gains_it(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """While two replicas count, two stores are brought in: every call of all four is there once."""
    other = make_harness(tmp_path / "other")
    for each in (home, other):
        await fill(each)
        await each.close()
    async with replicas(url, 2) as stores:

        async def ship(store: Store, sender: str) -> None:
            for seq in range(1, 21):
                await store.ingest(make_batch({"GET /a": [0.5], f"{sender}-{seq}": [1.0]}, sender=sender, seq=seq))

        await asyncio.gather(
            *(ship(store, f"s{number}") for number, store in enumerate(stores)),
            move(url, tmp_path / "data"),
            move(url, tmp_path / "other"),
        )
        window = await totals(stores[0])
        history = await ask(stores[1], Span(0, 2 * NOW))
    of_one_window = (SERVED - SERVED // 2 - 1) * len(LABELS)
    assert window["GET /a"][0] == 2 * 20 + 2 * of_one_window
    assert sum(calls for calls, _ in window.values()) == 2 * 40 + 2 * (3 * of_one_window + 2 + SAMPLED)
    assert sum(row.calls for step in history.steps for row in step.rows.values()) == 2 * 40 + 2 * (
        9 * SERVED + 2 + SAMPLED
    )


async def test_a_retry_after_the_move_counts_once(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """A sender whose last answer was lost in the move repeats its batch to the fleet, which knows it, and goes on."""
    batches = [make_batch({"a": [1]}, sender="s", seq=seq) for seq in (1, 2, 3)]
    store = await home.open()
    for batch in batches[:2]:
        await store.ingest(batch)
    await home.close()
    await move(url, tmp_path / "data")
    async with fleet(url) as store:
        outcomes = [await store.ingest(batch) for batch in batches[1:]]
        assert [(outcome.duplicate, outcome.accepted) for outcome in outcomes] == [(True, 1), (False, 1)]
        assert await totals(store) == {"a": (3, 3 * 10**9)}


async def test_senders_are_remembered_as_long_as_at_home(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """How long a sender was silent comes with it, whatever the service time of either store."""
    store = await home.open()
    await store.ingest(make_batch({"a": [1]}, sender="silent"))
    home.uptime_seconds += 3600
    await store.ingest(make_batch({"a": [1]}, sender="lively"))
    await home.close()
    async with fleet(url):
        await execute(url, "UPDATE chronoprof.service_time SET minute = 1000")
        await move(url, tmp_path / "data")
    async with fleet(url) as store:
        assert {sender.id: sender.active_minute for sender in await store.senders()} == {"silent": 940, "lively": 1000}


@pytest.mark.parametrize("place", [0, 3, -1])
async def test_an_import_that_is_cut_off_leaves_nothing(
    home: StoreHarness, url: str, tmp_path: Path, place: int
) -> None:
    """The database ends the connection in the middle: nothing of it is there, and the next import brings all of it."""
    before = await figures_of(await fill(home))
    await home.close()
    with hold(make_embedded_settings(tmp_path / "data"), LATER_NS) as holdings:
        stretches = list(holdings.stretches)
        cut = replace(holdings, stretches=_cutting(url, stretches, place % len(stretches)))
        with pytest.raises(UnavailableError):
            await import_into(make_settings(url), [], cut, LATER_NS)
    async with fleet(url) as store:
        assert await totals(store) == {}
        assert not [step for step in (await ask(store)).steps if step.rows or step.losses]
        assert (await store.senders(), await store.saves()) == ([], [])
    assert (await move(url, tmp_path / "data")).store
    async with fleet(url) as store:
        assert await figures_of(store) == before


def _cutting(url: str, stretches: Iterable[HeldStretch], place: int) -> Iterator[HeldStretch]:
    """Yield stretches, and have the server end the import's connection behind one of them."""
    ending = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    for number, stretch in enumerate(stretches):
        yield stretch
        if number == place:
            with ThreadPoolExecutor(1) as thread:
                assert thread.submit(lambda: asyncio.run(execute(url, ending))).result() == 1


async def test_nothing_is_imported_twice_for_want_of_a_quorum(
    home: StoreHarness, own_server: PostgresqlServer, tmp_path: Path
) -> None:
    """An import that only the primary has is said to have failed, and so is a second one, until a quorum has both."""
    await (await home.open()).ingest(make_batch({"a": [1]}))
    await home.close()
    url = own_server.url()
    async with fleet(url):
        pass
    await require_standby(own_server, "nobody")
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    for _ in range(2):
        moving = asyncio.ensure_future(move(url, tmp_path / "data"))
        await until_async(lambda: execute(url, cancel))
        with pytest.raises(UnavailableError, match="stopped waiting"):
            await moving
    await require_standby(own_server, "")
    assert not (await move(url, tmp_path / "data")).store
    async with fleet(url) as store:
        assert await totals(store) == {"a": (1, 10**9)}


async def test_what_has_no_room_counts_as_other(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """Beyond the bound of the fleet's window rows are counted under `_other`, as batches are, and that is told once."""
    store = await home.open(max_functions=8)
    await store.ingest(make_batch({f"f{number}": [1] for number in range(10)}, service="s"))
    await home.close()
    async with fleet(url, max_functions=5) as store:
        await store.ingest(make_batch({"f0": [1]}, service="s"))
        await move(url, tmp_path / "data", max_functions=5)
        calls = {name: number for name, (number, _) in (await totals(store)).items()}
        losses = (await store.snapshot(Selection())).losses
    assert calls == {"f0": 2, **{f"f{number}": 1 for number in range(1, 5)}, OTHER: 5}
    assert losses["s"].overflowed == 5


async def test_earlier_minutes_age_first(
    home: StoreHarness, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is brought in late is not taken for new: the minutes that stay are the latest of all."""
    monkeypatch.setattr(upkeep, "KEPT_MINUTES", 3)
    async with fleet(url) as store:
        await store.ingest(make_batch({"a": [1]}))
    await execute(url, f"UPDATE chronoprof.stretches SET number = {NOW + 50}")
    store = await home.open()
    for number in range(5):
        home.clock.ns = START_NS + number * MINUTE_NS
        await store.ingest(make_batch({"a": [1]}))
    await home.close()
    await move(url, tmp_path / "data")
    async with fleet(url):
        pass
    kept = "SELECT array_agg(number ORDER BY number) FROM chronoprof.stretches WHERE kind = 2"
    assert await execute(url, kept) == [NOW + 3, NOW + 4, NOW + 50]


async def test_a_store_that_goes_on_counting_is_not_imported_again(
    home: StoreHarness, url: str, tmp_path: Path
) -> None:
    """What it counted since cannot be told from what was imported: that is said, and nothing changes."""
    await (await home.open()).ingest(make_batch({"a": [1]}))
    await home.close()
    await move(url, tmp_path / "data")
    await (await home.open()).ingest(make_batch({"a": [1]}))
    await home.close()
    with pytest.raises(StoreError, match="counted 2 batches, 1 of them"):
        await move(url, tmp_path / "data")
    async with fleet(url) as store:
        assert await totals(store) == {"a": (1, 10**9)}


async def test_a_backup_is_the_same_store(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """A copy of the directory that was made long before the move is not imported beside its original."""
    await (await home.open()).ingest(make_batch({"a": [1]}))
    await home.close()
    shutil.copytree(tmp_path / "data", tmp_path / "backup")
    await move(url, tmp_path / "data")
    assert not (await move(url, tmp_path / "backup")).store
    async with fleet(url) as store:
        assert await totals(store) == {"a": (1, 10**9)}


async def test_a_refusal_changes_nothing(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """A save's name that is taken by another save, and senders without room: neither rows nor other saves arrive."""
    await fill(home)
    await home.close()
    async with fleet(url) as store:
        await store.save("table.csv")
        with pytest.raises(FileExistsConflictError, match=r"table\.csv"):
            await move(url, tmp_path / "data")
        await execute(url, "DELETE FROM chronoprof.saves")
        with pytest.raises(StoreError, match="3 senders more"):
            await move(url, tmp_path / "data", max_senders=2)
        assert (await totals(store), await store.saves(), await store.senders()) == ({}, [], [])


async def test_only_a_store_at_rest_is_handed_over(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """A directory that a sidecar uses is refused, and it goes on; one without a store is refused and stays empty."""
    store = await home.open()
    with pytest.raises(StoreError, match="stop it first"):
        await move(url, tmp_path / "data")
    await store.ingest(make_batch({"a": [1]}))
    await home.close()
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no store in"):
        await move(url, tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def run_import(url: str, directory: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a directory, as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "chronoprof_sidecar", "import", *argv],
        env={**os.environ, "CHRONOPROF_STORE": url, "PYTHONPATH": str(ROOT)},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_the_command_says_what_it_did(home: StoreHarness, url: str, tmp_path: Path) -> None:
    """Each save and the directory on a line of its own; a second run skips all of it."""
    await fill(home)
    await home.close()
    for name in ("first.json", "table.csv"):
        shutil.copy(tmp_path / "data" / "saves" / name, tmp_path / f"old-{name}")
    argv = ("old-first.json", "old-table.csv", "--data-dir", "data")
    ran = run_import(url, tmp_path, *argv)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[:2] == ["old-first.json: imported", "old-table.csv: imported"]
    assert sorted(lines[2:4]) == ["first.json: imported", "table.csv: imported"]
    assert re.fullmatch(r"/.*/data: imported, 14 rows, \d+ minutes and \d+ hours? of history, 3 senders", lines[4])
    again = run_import(url, tmp_path, *argv)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines() == [
        "old-first.json: there already, skipped",
        "old-table.csv: there already, skipped",
        f"{tmp_path}/data: imported before, skipped",
    ]
    async with fleet(url) as store:
        for name in ("first.json", "table.csv"):
            assert await read_save(store, f"old-{name}") == (tmp_path / "data" / "saves" / name).read_bytes()


async def test_one_bad_save_and_none_is_imported(url: str, tmp_path: Path) -> None:
    """A file that is no save, has no save's name, or is another of its name: it is told, and all stays as it was."""
    (tmp_path / "other").mkdir()
    async with fleet(url) as store:
        for directory in (tmp_path, tmp_path / "other"):
            await store.ingest(make_batch({"a": [1]}))
            await store.save("w.json")
            (directory / "w.json").write_bytes(await read_save(store, "w.json"))
        await execute(url, "DELETE FROM chronoprof.saves")
        (tmp_path / "results.json").write_text('{"data": {}}')
        (tmp_path / "list.csv").write_text("name,calls\n")
        (tmp_path / "..hidden.json").write_text("{}")
        for bad in ("results.json", "list.csv", "..hidden.json", "other/w.json", "missing.json"):
            ran = run_import(url, tmp_path, "w.json", bad)
            assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (1, "", 1)
            assert bad.rpartition("/")[2] in ran.stderr
            assert await store.saves() == []
