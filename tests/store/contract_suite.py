"""What every store must do: engines subclass `StoreContract` and say how one is opened."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.table import Selection, merge_by_name
from chronoprof_sidecar.errors import (
    FileExistsConflictError,
    GenerationConflictError,
    MalformedRequestError,
    NotFoundError,
    SequenceGapError,
    SequenceReusedError,
    UnavailableError,
)
from chronoprof_sidecar.protocol import bucket_of
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.wire.saves import load_save
from tests.store.bodies import make_batch
from tests.store.harness import HOUR_NS, START_NS, StoreHarness
from tests.store.history_contract import HistoryContract


async def totals(store: Store, **selection: Any) -> dict[str, tuple[int, int]]:
    """Return calls and total nanoseconds per function name."""
    rows = merge_by_name((await store.snapshot(Selection(**selection))).rows)
    return {name: (row.calls, row.total_ns) for name, row in rows.items()}


async def read_save(store: Store, name: str) -> bytes:
    """Return a save's bytes."""
    async with await store.open_save(name) as save:
        return b"".join([chunk async for chunk in save.chunks()])


def rows_of(snapshot: Snapshot) -> list[tuple[Any, ...]]:
    """Return a snapshot's rows as values that compare."""
    return sorted(
        (
            *(*key, row.calls, row.errors, row.total_ns, row.min_ns, row.max_ns),
            *(row.first_seen_ns, row.last_seen_ns, *map(tuple, row.histogram.to_sparse())),
        )
        for key, row in snapshot.rows
    )


class StoreContract(HistoryContract):
    """The tests; `harness` comes from the engine's own module."""

    @pytest.fixture
    async def store(self, harness: StoreHarness) -> AsyncIterator[Store]:
        yield await harness.open()
        await harness.close()

    async def test_counts_what_it_acknowledges(self, store: Store) -> None:
        """An acknowledged batch is in the next snapshot, to the nanosecond."""
        outcome = await store.ingest(make_batch({"GET /a": [0.25, 0.1], "f": [1e-9]}))
        assert (outcome.accepted, outcome.duplicate, outcome.client) == (3, False, None)
        assert await totals(store) == {"GET /a": (2, 350_000_000), "f": (1, 1)}

    async def test_keeps_everything_across_a_restart(self, harness: StoreHarness) -> None:
        """Rows, losses, generation and senders are the same after a restart, to the last bucket."""
        store = await harness.open()
        await store.ingest(make_batch({"a": [0.1, 0.2]}, sender="s", dropped=3, service="shop", version="1"))
        await store.reset()
        await store.ingest(make_batch({"a": [0.3, 5], "b": [0]}, sender="s", seq=2, unknown=4, service="shop"))
        before, senders = await store.snapshot(Selection()), await store.senders()
        store = await harness.open()
        after = await store.snapshot(Selection())
        assert rows_of(after) == rows_of(before)
        assert (after.generation, after.window_start_ns) == (before.generation, before.window_start_ns)
        assert after.losses == before.losses
        assert await store.senders() == senders
        await harness.close()

    async def test_a_batch_without_a_sender_counts_at_every_arrival(self, store: Store) -> None:
        """Without client.id nothing tells a repeat from a second batch."""
        for _ in range(2):
            await store.ingest(make_batch({"a": [1]}))
        assert await totals(store) == {"a": (2, 2_000_000_000)}

    async def test_a_repeat_is_answered_as_the_first_time(self, store: Store) -> None:
        """The last batch again, with the same bytes, counts nothing and gets the first answer, marked."""
        batch = make_batch({"a": [1], "_other": [1]}, sender="s")
        first = await store.ingest(batch)
        again = await store.ingest(batch)
        assert (again.accepted, again.rejected_items, list(again.errors)) == (1, 1, list(first.errors))
        assert (first.duplicate, again.duplicate) == (False, True)
        assert await totals(store) == {"a": (1, 1_000_000_000)}

    async def test_a_repeat_is_recognised_after_a_restart(self, harness: StoreHarness) -> None:
        """A sender whose answer was lost in a restart repeats its batch, and it still counts once."""
        batch = make_batch({"a": [1]}, sender="s")
        await (await harness.open()).ingest(batch)
        store = await harness.open()
        assert (await store.ingest(batch)).duplicate
        assert await totals(store) == {"a": (1, 1_000_000_000)}
        await harness.close()

    async def test_an_older_batch_is_a_duplicate(self, store: Store) -> None:
        """A batch before the last one was counted long ago: accepted is None and nothing changes."""
        for seq in (1, 2, 3):
            await store.ingest(make_batch({"a": [seq]}, sender="s", seq=seq))
        late = await store.ingest(make_batch({"a": [1]}, sender="s", seq=1))
        assert (late.accepted, late.duplicate) == (None, True)
        assert await totals(store) == {"a": (3, 6_000_000_000)}

    @pytest.mark.parametrize(("known", "seq"), [(0, 2), (1, 3), (5, 7)])
    async def test_a_gap_applies_nothing(self, store: Store, known: int, seq: int) -> None:
        """A missing batch, or an unknown sender that does not begin at 1, is refused."""
        for each in range(1, known + 1):
            await store.ingest(make_batch({"a": [1]}, sender="s", seq=each))
        with pytest.raises(SequenceGapError):
            await store.ingest(make_batch({"a": [1]}, sender="s", seq=seq))
        assert (await totals(store)).get("a", (0, 0))[0] == known

    async def test_a_reused_number_applies_nothing(self, store: Store) -> None:
        """The last number with another body is refused."""
        await store.ingest(make_batch({"a": [1]}, sender="s"))
        with pytest.raises(SequenceReusedError):
            await store.ingest(make_batch({"a": [2]}, sender="s"))
        assert await totals(store) == {"a": (1, 1_000_000_000)}

    async def test_duplicates_in_flight_count_once(self, store: Store) -> None:
        """A duplicate that arrives while the original waits for its commit is answered after it, and counts nothing."""
        batch = make_batch({"a": [1]}, sender="s")
        outcomes = await asyncio.gather(*(store.ingest(batch) for _ in range(20)))
        assert sorted(outcome.duplicate for outcome in outcomes) == [False] + [True] * 19
        assert {outcome.accepted for outcome in outcomes} == {1}
        assert await totals(store) == {"a": (1, 1_000_000_000)}

    async def test_many_senders_at_once_add_up(self, store: Store) -> None:
        """Concurrent senders with many batches each: the sum is exact."""

        async def ship(sender: str) -> None:
            for seq in range(1, 26):
                await store.ingest(make_batch({"a": [0.001], sender: [0.002, 0.003]}, sender=sender, seq=seq))

        await asyncio.gather(*(ship(f"s{number}") for number in range(16)))
        expected = {"a": (400, 400_000_000)} | {f"s{number}": (50, 125_000_000) for number in range(16)}
        assert await totals(store) == expected

    async def test_a_snapshot_stays_as_it_was(self, store: Store) -> None:
        """Batches that come later change neither a snapshot nor a report of it."""
        await store.ingest(make_batch({"a": [1], "b": [1]}, version="1"))
        await store.ingest(make_batch({"a": [1]}, version="2"))
        snapshots = [await store.snapshot(Selection())]
        await store.ingest(make_batch({"a": [3], "new": [1]}, version="1"))
        snapshots.append(await store.snapshot(Selection()))
        await store.ingest(make_batch({"a": [5]}, version="1"))
        calls = [{name: row.calls for name, row in merge_by_name(each.rows).items()} for each in snapshots * 2]
        assert calls == [{"a": 2, "b": 1}, {"a": 3, "b": 1, "new": 1}] * 2
        assert await totals(store) == {"a": (4, 10 * 10**9), "b": (1, 10**9), "new": (1, 10**9)}

    async def test_a_snapshot_holds_the_rows_asked_for(self, store: Store) -> None:
        """Name, glob, service and version filter; services names all there are."""
        await store.ingest(make_batch({"GET /a": [1], "f": [1]}, service="shop", version="1"))
        await store.ingest(make_batch({"GET /a": [2]}, service="shop", version="2", dropped=1))
        await store.ingest(make_batch({"GET /b": [4]}, service="pay", rejected=1))
        assert await totals(store, function_name="GET /a") == {"GET /a": (2, 3_000_000_000)}
        assert await totals(store, function_name="GET /") == {}
        assert set(await totals(store, match="GET *")) == {"GET /a", "GET /b"}
        assert await totals(store, service="shop", version="2") == {"GET /a": (1, 2_000_000_000)}
        snapshot = await store.snapshot(Selection(service="pay"))
        assert (list(snapshot.services), list(snapshot.losses)) == (["pay", "shop"], ["pay"])

    async def test_losses_are_told_per_service(self, store: Store) -> None:
        """What senders lost is summed per service and leaves the other services complete."""
        await store.ingest(make_batch(dropped=1, rejected=2, unknown=3, service="a"))
        await store.ingest(make_batch({"x": [1]}, dropped=10, service="a"))
        await store.ingest(make_batch({"x": [1]}, service="b"))
        losses = (await store.snapshot(Selection())).losses
        assert (losses["a"].dropped, losses["a"].rejected, losses["a"].unknown) == (11, 2, 3)
        assert "b" not in losses

    async def test_overflow_keeps_true_totals(self, harness: StoreHarness) -> None:
        """Beyond the bound, new names count under `_other` per service, known names stay exact, and it is said."""
        store = await harness.open(max_functions=3)
        await store.ingest(make_batch({f"f{number}": [1] for number in range(5)}, service="shop"))
        await store.ingest(make_batch({"f0": [1], "late": [2]}, service="shop"))
        expected = {"f0": (2, 2 * 10**9), "f1": (1, 10**9), "f2": (1, 10**9), "_other": (3, 4 * 10**9)}
        assert await totals(store) == expected
        assert (await store.snapshot(Selection())).losses["shop"].overflowed == 3
        store = await harness.open(max_functions=3)
        assert await totals(store) == expected
        await harness.close()

    async def test_too_many_labels_are_told_to_whoever_asks(self, store: Store) -> None:
        """Beyond 64 pairs of labels calls count under `_other`, and no service may seem complete without them."""
        for number in range(66):
            await store.ingest(make_batch({"a": [1]}, service=f"s{number}"))
        assert await totals(store, service="_other") == {"a": (2, 2 * 10**9)}
        assert (await store.snapshot(Selection())).losses["_other"].overflowed == 2
        assert (await store.snapshot(Selection(service="s65"))).losses["_other"].overflowed == 2

    async def test_a_repeated_overflow_survives_a_larger_bound(self, harness: StoreHarness) -> None:
        """What overflowed once stays where it was counted, whatever the bound is later."""
        store = await harness.open(max_functions=1)
        await store.ingest(make_batch({"a": [1], "b": [1]}))
        store = await harness.open(max_functions=100)
        assert set(await totals(store)) == {"a", "_other"}
        await store.ingest(make_batch({"b": [1]}))
        assert set(await totals(store)) == {"a", "b", "_other"}
        await harness.close()

    async def test_reset_begins_a_new_window(self, harness: StoreHarness) -> None:
        """A reset empties rows and losses, adds one to the generation and remembers the senders."""
        store = await harness.open()
        await store.ingest(make_batch({"a": [1]}, sender="s", dropped=1))
        harness.clock.ns += HOUR_NS
        assert await store.reset() == 2
        snapshot = await store.snapshot(Selection())
        assert (snapshot.generation, snapshot.window_start_ns) == (2, START_NS + HOUR_NS)
        assert (snapshot.rows, snapshot.losses) == ([], {})
        assert (await store.ingest(make_batch({"a": [1]}, sender="s", dropped=1))).duplicate
        store = await harness.open()
        assert (await store.snapshot(Selection())).generation == 2
        await harness.close()

    async def test_reset_of_another_generation_changes_nothing(self, store: Store) -> None:
        """A retried reset cannot empty a window that its caller never saw."""
        await store.ingest(make_batch({"a": [1]}))
        with pytest.raises(GenerationConflictError):
            await store.reset(2)
        assert await totals(store) == {"a": (1, 1_000_000_000)}
        assert await store.reset(1) == 2

    async def test_a_save_holds_the_whole_window(self, store: Store) -> None:
        """A JSON save loads back to the snapshot, rows, histograms and losses."""
        await store.ingest(make_batch({"a": [0.1, 7], "b": [0]}, service="shop", version="1", dropped=2))
        await store.ingest(make_batch({"a": [1e-9]}, service="shop", version="2"))
        expected = await store.snapshot(Selection())
        info = await store.save("week.json")
        loaded = load_save(await read_save(store, "week.json"))
        assert info.name == "week.json"
        assert rows_of(loaded) == rows_of(expected)
        assert (loaded.generation, loaded.losses) == (expected.generation, expected.losses)

    async def test_a_save_replaces_an_older_one_unless_told_not_to(self, store: Store) -> None:
        """`overwrite=False` refuses a taken name and leaves the file as it was."""
        await store.save("a.json")
        before = await read_save(store, "a.json")
        await store.ingest(make_batch({"a": [1]}))
        with pytest.raises(FileExistsConflictError):
            await store.save("a.json", overwrite=False)
        assert await read_save(store, "a.json") == before
        await store.save("a.json")
        assert await read_save(store, "a.json") != before

    async def test_a_csv_export_has_a_line_per_row(self, store: Store) -> None:
        """A `.csv` name makes an export."""
        await store.ingest(make_batch({"a": [1], "b": [2]}))
        await store.save("a.csv")
        lines = (await read_save(store, "a.csv")).decode().splitlines()
        assert [line.split(",")[0] for line in lines] == ["function_name", "a", "b"]

    async def test_saves_are_listed_newest_first(self, store: Store) -> None:
        """Every save is listed with its size."""
        await store.save("b.json")
        await store.save("a.json")
        saves = await store.saves()
        assert [save.name for save in saves] == ["a.json", "b.json"]
        assert saves[0].size_bytes == len(await read_save(store, "a.json"))

    @pytest.mark.parametrize(
        "name", ["", "a", "a.txt", "../a.json", "/a.json", "a/b.json", ".a.json", "a\0.json", "ä.json"]
    )
    async def test_a_save_has_a_plain_name(self, store: Store, name: str) -> None:
        """Anything but one plain file name is refused, for writing and for reading."""
        with pytest.raises(MalformedRequestError):
            await store.save(name)
        with pytest.raises(MalformedRequestError):
            await store.rotate(name)
        with pytest.raises(MalformedRequestError):
            await store.open_save(name)
        assert await store.saves() == []

    async def test_an_unknown_save_is_not_found(self, store: Store) -> None:
        """Reading what is not there says so."""
        with pytest.raises(NotFoundError):
            await store.open_save("none.json")

    async def test_rotate_is_save_and_reset_as_one(self, harness: StoreHarness) -> None:
        """The file holds the old window, the next one is empty, and both survive a restart."""
        store = await harness.open()
        await store.ingest(make_batch({"a": [1]}))
        expected = rows_of(await store.snapshot(Selection()))
        rotation = await store.rotate("w1.json")
        assert (rotation.save.name, rotation.saved_generation, rotation.generation) == ("w1.json", 1, 2)
        assert await totals(store) == {}
        store = await harness.open()
        assert rows_of(load_save(await read_save(store, "w1.json"))) == expected
        assert (await store.snapshot(Selection())).generation == 2
        await harness.close()

    async def test_a_retried_rotate_destroys_nothing(self, store: Store) -> None:
        """A rotate never overwrites, takes no export, and can be tied to a generation."""
        await store.ingest(make_batch({"a": [1]}))
        await store.rotate("w.json", expected_generation=1)
        before = await read_save(store, "w.json")
        await store.ingest(make_batch({"b": [1]}))
        with pytest.raises(FileExistsConflictError):
            await store.rotate("w.json")
        with pytest.raises(GenerationConflictError):
            await store.rotate("w2.json", expected_generation=1)
        with pytest.raises(MalformedRequestError):
            await store.rotate("w2.csv")
        assert await read_save(store, "w.json") == before
        assert await totals(store) == {"b": (1, 1_000_000_000)}

    async def test_rotations_under_load_lose_and_double_nothing(self, store: Store) -> None:
        """Every acknowledged call is in exactly one window: saved files and the current one add up."""

        async def ship(sender: str) -> None:
            for seq in range(1, 41):
                await store.ingest(make_batch({"a": [0.001]}, sender=sender, seq=seq))

        async def rotate() -> list[str]:
            return [(await store.rotate(f"w{number}.json")).save.name for number in range(10)]

        rotating = asyncio.ensure_future(rotate())
        await asyncio.gather(*(ship(f"s{number}") for number in range(8)))
        names = await rotating
        windows = [load_save(await read_save(store, name)) for name in names] + [await store.snapshot(Selection())]
        assert sum(row.calls for window in windows for _, row in window.rows) == 320
        assert sum(row.total_ns for window in windows for _, row in window.rows) == 320_000_000

    async def test_senders_tell_who_ships(self, harness: StoreHarness) -> None:
        """Each sender has its labels, its last batch and what it lost."""
        store = await harness.open()
        await store.ingest(make_batch({"a": [1, 2]}, sender="s", service="shop", version="1", instance="web:1"))
        harness.clock.ns += HOUR_NS
        await store.ingest(make_batch({"a": [1]}, sender="s", seq=2, dropped=5, final=True))
        (sender,) = await store.senders()
        assert (sender.id, sender.seq, sender.calls, sender.dropped, sender.final) == ("s", 2, 3, 5, True)
        assert (sender.first_batch_ns, sender.last_batch_ns) == (START_NS, START_NS + HOUR_NS)
        await harness.close()

    async def test_figures_tell_how_the_store_is_doing(self, harness: StoreHarness) -> None:
        """Rows, overflow and generation are the window's; a reset leaves senders and nothing else."""
        store = await harness.open(max_functions=2)
        await store.ingest(make_batch({"a": [1], "b": [1], "c": [1, 2, 3]}, sender="s"))
        figures = await store.figures()
        assert (1, 3, 3, 1) == (figures.generation, figures.rows, figures.overflowed, figures.senders)
        await store.reset()
        figures = await store.figures()
        assert (2, 0, 0, 1) == (figures.generation, figures.rows, figures.overflowed, figures.senders)
        await harness.close()

    async def test_figures_tell_what_waits(self, store: Store) -> None:
        """Batches that were handed in and not begun are counted with their bodies, and no longer once all is done."""
        batch = make_batch({"a": [1]})
        waiting = [asyncio.ensure_future(store.ingest(batch)) for _ in range(3)]
        await asyncio.sleep(0)
        figures = await store.figures()
        assert (3, 3 * len(batch.body)) == (figures.waiting_batches, figures.waiting_bytes)
        await asyncio.gather(*waiting)
        figures = await store.figures()
        assert (0, 0) == (figures.waiting_batches, figures.waiting_bytes)

    async def test_senders_are_forgotten_by_service_time_alone(self, harness: StoreHarness) -> None:
        """A clock that jumps ten years forgets nobody; an hour of service forgets those that ended."""
        store = await harness.open()
        await store.ingest(make_batch({"a": [1]}, sender="ended", final=True))
        await store.ingest(make_batch({"a": [1]}, sender="silent"))
        harness.clock.ns += 10 * 365 * 24 * HOUR_NS
        store = await harness.open()
        assert {sender.id for sender in await store.senders()} == {"ended", "silent"}
        harness.uptime_seconds += 3700
        await store.ingest(make_batch({"a": [1]}))
        store = await harness.open()
        assert {sender.id for sender in await store.senders()} == {"silent"}
        harness.uptime_seconds += 7 * 86_400 + 60
        await store.ingest(make_batch({"a": [1]}))
        store = await harness.open()
        assert await store.senders() == []
        await harness.close()

    async def test_too_many_senders_are_refused(self, harness: StoreHarness) -> None:
        """Beyond the bound new senders get UnavailableError, known ones go on, and long silence makes room."""
        store = await harness.open(max_senders=2)
        await store.ingest(make_batch({"a": [1]}, sender="s1"))
        await store.ingest(make_batch({"a": [1]}, sender="s2"))
        with pytest.raises(UnavailableError):
            await store.ingest(make_batch({"a": [1]}, sender="s3"))
        harness.uptime_seconds += 2 * 86_400 + 60
        await store.ingest(make_batch({"a": [1]}, sender="s2", seq=2))
        await store.ingest(make_batch({"a": [1]}, sender="s3"))
        assert {sender.id for sender in await store.senders()} == {"s2", "s3"}
        await harness.close()

    async def test_sums_have_no_bound(self, harness: StoreHarness) -> None:
        """Totals beyond 64 bits stay exact, across a restart, too."""
        item: dict[str, Any] = {"calls": 2**40, "total_ns": 2**62, "min_ns": 4_194_303, "max_ns": 4_194_305}
        item |= {"buckets": [bucket_of(0.004194304)], "counts": [2**40]}
        store = await harness.open()
        for _ in range(5):
            await store.ingest(make_batch(functions={"a": item}))
        store = await harness.open()
        assert await totals(store) == {"a": (5 * 2**40, 5 * 2**62)}
        await harness.close()

    async def test_after_refuse_nothing_begins(self, store: Store) -> None:
        """A stopping store takes nothing more and says so, but still answers what it knows."""
        await store.ingest(make_batch({"a": [1]}))
        assert store.unready_reason() is None
        store.refuse()
        for change in (
            store.ingest(make_batch({"a": [1]})),
            store.reset(),
            store.rotate("a.json"),
            store.save("a.json"),
        ):
            with pytest.raises(UnavailableError):
                await change
        assert store.unready_reason() is not None
        assert await totals(store) == {"a": (1, 1_000_000_000)}

    async def test_what_was_taken_is_served_before_closing(self, harness: StoreHarness) -> None:
        """Closing under load acknowledges every batch that was taken, and they are all there afterwards."""
        store = await harness.open()
        waiting = [asyncio.ensure_future(store.ingest(make_batch({"a": [1]}))) for _ in range(50)]
        await asyncio.sleep(0)
        await harness.close()
        assert [outcome.accepted for outcome in await asyncio.gather(*waiting)] == [1] * 50
        assert await totals(await harness.open()) == {"a": (50, 50_000_000_000)}
        await harness.close()

    async def test_a_cancelled_request_changes_nothing_half_way(self, store: Store) -> None:
        """Whoever stops waiting for the answer finds the batch counted whole by a repeat of it."""
        batch = make_batch({"a": [1], "b": [2]}, sender="s")
        waiting = asyncio.ensure_future(store.ingest(batch))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await store.ingest(batch)
        assert await totals(store) == {"a": (1, 10**9), "b": (1, 2 * 10**9)}
