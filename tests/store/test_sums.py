"""Sums of minutes and hours: what all functions count together, without reading each, and never anything else."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from chronoprof_sidecar.domain.history import ALL, History, Span
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.embedded import reading, sums
from chronoprof_sidecar.store.embedded.records import HOUR, MINUTE, SUM_KINDS
from tests.store.bodies import make_batch
from tests.store.harness import MINUTE_NS, StoreHarness
from tests.store.history_contract import ask, values_of
from tests.store.test_embedded import CrashImages, harness, images, make_harness
from tests.store.test_history import FULL_HOUR, settle, short_history

__all__ = ["harness", "images", "short_history"]
DAYS = Span(FULL_HOUR, FULL_HOUR + 300)
AGED = (0, 1, 2, 58, 60, 61, 125)
"""Minutes of three hours: three are kept, the others are in two hours."""


@pytest.fixture(autouse=True)
def small_slices(short_history: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge two rows at once, and read as ever."""
    monkeypatch.setattr(sums, "SUMMED_ROWS", 2)
    monkeypatch.setattr(reading, "SLICE_SECONDS", 0.005)
    monkeypatch.setattr(reading, "SLICE_ROWS", 500)


async def count_at(harness: StoreHarness, store: Store, *at: int) -> None:
    """Count some functions of two services in each of these minutes after a full hour, and have all of it stored."""
    for minute in at:
        harness.clock.ns = (FULL_HOUR + minute) * MINUTE_NS
        harness.uptime_seconds += 10
        durations = {f"f{n}": [0.001 * n + minute, 0] for n in range(3)}
        await store.ingest(make_batch(durations, service="shop", version="1"))
        await store.ingest(make_batch({"a": [1.0], "b": [0.5]}, service="pay", dropped=1))
        await settle(store)


async def check_sums(store: Store) -> History:
    """Return the history of all functions, once every step of it is what the functions of the step add up to."""
    selections: list[dict[str, Any]] = [{}, {"service": "shop"}, {"service": "shop", "version": "2"}]
    for filters in selections:
        together = await ask(store, DAYS, step=1, per_function=False, **filters)
        each = await ask(store, DAYS, step=1, **filters)
        assert [(step.span, step.losses) for step in together.steps] == [
            (step.span, step.losses) for step in each.steps
        ]
        for step, apart in zip(together.steps, each.steps, strict=True):
            assert {name: values_of(row) for name, row in step.rows.items()} == _added_up(apart.rows)
    return await ask(store, DAYS, step=1, per_function=False)


def _added_up(rows: dict[str, FunctionStatistics]) -> dict[str, Any]:
    merged: FunctionStatistics | None = None
    for row in rows.values():
        if merged is None:
            merged = row.copy()
        else:
            merged.merge(row)
    return {} if merged is None else {ALL: values_of(merged)}


def _change(tmp_path: Path, *statements: str) -> list[list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(tmp_path / "data" / "chronoprof.db")) as connection, connection:
        return [connection.execute(statement).fetchall() for statement in statements]


STORED_SUMS = f"SELECT kind, span FROM rows WHERE kind IN {SUM_KINDS} ORDER BY kind, span"
IN_MINUTES_AND_HOURS = f"kind IN ({MINUTE}, {HOUR})"


async def test_a_sum_is_what_its_functions_add_up_to(harness: StoreHarness) -> None:
    """Whatever is counted, grows old or comes to a minute that has a sum already: the answer for all functions
    together is what the functions say, per step and per label, to the last bucket."""
    store = await harness.open(checkpoint_interval_seconds=1)
    for minute in (*AGED, 125, 61, 126, 62, 190, 250):
        await count_at(harness, store, minute)
        await check_sums(store)
    store = await harness.open(checkpoint_interval_seconds=3600)
    for minute in (250, 190):
        harness.clock.ns = (FULL_HOUR + minute) * MINUTE_NS
        await store.ingest(make_batch({"not": [1], "stored": [2]}, service="shop"))
        await check_sums(store)
    await harness.close()


async def test_all_but_what_may_grow_is_answered_from_sums(harness: StoreHarness, tmp_path: Path) -> None:
    """Minutes and hours that nothing is added to any more have one record each that the answer is read from."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *AGED)
    expected = await check_sums(store)
    await harness.close()
    newest = {f"({MINUTE}, {FULL_HOUR + 125})", f"({HOUR}, {FULL_HOUR // 60})"}
    _change(tmp_path, f"DELETE FROM rows WHERE {IN_MINUTES_AND_HOURS} AND (kind, span) NOT IN ({', '.join(newest)})")
    store = await harness.open()
    answer = await ask(store, DAYS, step=1, per_function=False)
    assert [(step.span, _added_up(step.rows)) for step in answer.steps] == [
        (step.span, _added_up(step.rows)) for step in expected.steps
    ]
    await harness.close()


@pytest.mark.parametrize("change", ["DELETE FROM rows", "UPDATE rows SET record = zeroblob(40)"])
async def test_without_sums_functions_are_read(harness: StoreHarness, tmp_path: Path, change: str) -> None:
    """A database that has no sums, or damaged ones, answers the same; missing ones are made in spare time."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *AGED)
    await harness.close()
    stored, _, _ = _change(tmp_path, STORED_SUMS, f"{change} WHERE kind IN {SUM_KINDS}", "SELECT 1")
    assert {kind for kind, _ in stored} == {SUM_KINDS[0]}
    store = await harness.open(checkpoint_interval_seconds=3600)
    answer = await check_sums(store)
    assert sum(step.rows[ALL].calls for step in answer.steps if step.rows) == 8 * len(AGED)
    await settle(store)
    await check_sums(store)
    await harness.close()
    assert stored == _change(tmp_path, STORED_SUMS)[0]


async def test_no_sum_hides_a_damaged_row(harness: StoreHarness, tmp_path: Path) -> None:
    """Where a row is damaged before it was summed, who asks for all functions is told of it as is who asks for one."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, 0, 1, 2)
    await harness.close()
    _change(
        tmp_path,
        f"DELETE FROM rows WHERE kind IN {SUM_KINDS}",
        f"UPDATE rows SET record = zeroblob(40) WHERE kind = {MINUTE} AND span = {FULL_HOUR} AND function_name = 'a'",
    )
    store = await harness.open()
    await settle(store)
    assert (await check_sums(store)).losses()["pay"].set_aside == 1
    await harness.close()


async def test_an_erased_history_leaves_no_sums(harness: StoreHarness, tmp_path: Path) -> None:
    """What `reset?history=true` erases is erased from the sums, too, and an hour that grew too old takes its own."""
    store = await harness.open(checkpoint_interval_seconds=1)
    await count_at(harness, store, *(60 * n for n in range(8)))
    await harness.close()
    hours = [span for kind, span in _change(tmp_path, STORED_SUMS)[0] if kind == SUM_KINDS[1]]
    assert hours == [FULL_HOUR // 60 + 3]
    store = await harness.open(checkpoint_interval_seconds=1)
    await store.reset(erase_history=True)
    await count_at(harness, store, 0)
    assert sum(step.rows[ALL].calls for step in (await check_sums(store)).steps if step.rows) == 8
    await harness.close()
    assert _change(tmp_path, STORED_SUMS) == [[]]


async def test_a_crash_at_any_step_leaves_sums_right(tmp_path: Path, images: CrashImages) -> None:
    """Whatever transaction is the last: after it, and once the next start has gone on, sums say what rows say."""
    harness = make_harness(tmp_path / "data")
    store = await harness.open(checkpoint_interval_seconds=0.001)
    await count_at(harness, store, 0, 1, 2, 58, 60, 2, 61)
    await harness.close()
    steps, images.acknowledged = list(images.steps), -1
    for image, _ in steps:
        survivor = make_harness(image)
        survivor.clock.ns = harness.clock.ns
        store = await survivor.open(checkpoint_interval_seconds=0.001)
        await check_sums(store)
        await count_at(survivor, store, 64)
        await check_sums(store)
        await survivor.close()
        shutil.rmtree(image)
    assert len(steps) > 40
