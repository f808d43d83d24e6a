"""What every store must do with its history: a part of the store contract."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronoprof_sidecar.domain.history import ALL, History, HistoryQuery, Span
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Selection, merge_by_name
from chronoprof_sidecar.store.contract import Store
from tests.store.bodies import make_batch
from tests.store.harness import MINUTE_NS, START_NS, StoreHarness

NOW = START_NS // MINUTE_NS
DAY = 24 * 60
EVERYTHING = Span(NOW - 60 * DAY, NOW + 60 * DAY)


async def ask(
    store: Store, span: Span = EVERYTHING, *, step: int | None = None, per_function: bool = True, **selection: Any
) -> History:
    """Return the history of a span, in minutes."""
    return await store.history(HistoryQuery(Selection(**selection), span, step, per_function=per_function))


def calls_of(history: History) -> dict[str, int]:
    """Return the calls per name of all steps together."""
    calls: dict[str, int] = {}
    for step in history.steps:
        for name, row in step.rows.items():
            calls[name] = calls.get(name, 0) + row.calls
    return calls


def values_of(row: FunctionStatistics) -> tuple[Any, ...]:
    """Return everything that a row counts, as values that compare."""
    histogram = tuple(map(tuple, row.histogram.to_sparse()))
    return row.errors, row.total_ns, row.min_ns, row.max_ns, row.first_seen_ns, row.last_seen_ns, histogram


class HistoryContract:
    """The tests; `store` and `harness` come from the engine's own module."""

    async def test_history_has_what_was_acknowledged(self, store: Store) -> None:
        """An acknowledged batch is in the history at once, in the minute in which it arrived."""
        await store.ingest(make_batch({"GET /a": [0.25, 0.1], "f": [1e-9]}))
        history = await ask(store, Span(NOW, NOW + 1))
        assert calls_of(history) == {"GET /a": 2, "f": 1}
        assert history.steps[0].rows["GET /a"].total_ns == 350_000_000
        assert calls_of(await ask(store, Span(NOW + 1, NOW + 10))) == {}
        assert calls_of(await ask(store, Span(NOW - 10, NOW))) == {}

    @settings(deadline=None, max_examples=8, suppress_health_check=list(HealthCheck))
    @given(
        pauses=st.lists(st.integers(0, 90), min_size=1, max_size=12),
        step=st.integers(1, 500),
        interval=st.sampled_from([0.001, 3600.0]),
    )
    async def test_all_steps_together_are_the_window(
        self, harness: StoreHarness, pauses: list[int], step: int, interval: float
    ) -> None:
        """Whatever the step, and whatever was checkpointed: the steps add up to the window, to the last bucket."""
        store = await harness.open(checkpoint_interval_seconds=interval)
        await store.reset(erase_history=True)
        first = harness.clock.ns // MINUTE_NS
        for number, pause in enumerate(pauses):
            harness.clock.ns += pause * MINUTE_NS
            harness.uptime_seconds += 1
            await store.ingest(make_batch({f"f{number % 3}": [0.001 * number, 2.0], "all": [0.5]}, dropped=number))
        history = await ask(store, Span(first - 1, harness.clock.ns // MINUTE_NS + 1), step=step)
        snapshot = await store.snapshot(Selection())
        merged: dict[str, FunctionStatistics] = {}
        for each in history.steps:
            for name, row in each.rows.items():
                if name in merged:
                    merged[name].merge(row)
                else:
                    merged[name] = row.copy()
        expected = merge_by_name(snapshot.rows)
        assert {name: values_of(row) for name, row in merged.items()} == {
            name: values_of(row) for name, row in expected.items()
        }
        assert history.losses() == snapshot.losses

    async def test_history_is_cut_into_steps(self, harness: StoreHarness) -> None:
        """Each step counts the calls that arrived in it; where nothing did there is no row."""
        store = await harness.open()
        start = NOW // 10 * 10 + 10
        for minute, durations in ((0, [1.0]), (9, [1.0, 1.0]), (25, [1.0] * 4)):
            harness.clock.ns = (start + minute) * MINUTE_NS
            await store.ingest(make_batch({"a": durations}))
        history = await ask(store, Span(start, start + 30), step=10)
        assert [step.span for step in history.steps] == [Span(start + n, start + n + 10) for n in (0, 10, 20)]
        assert [{name: row.calls for name, row in step.rows.items()} for step in history.steps] == [
            {"a": 3}, {}, {"a": 4}
        ]  # fmt: skip
        await harness.close()

    async def test_history_holds_the_rows_asked_for(self, harness: StoreHarness) -> None:
        """Name, names, glob, service and version filter, before and after a checkpoint; merged there is one row."""
        store = await harness.open()
        await store.ingest(make_batch({"GET /a": [1], "f": [1]}, service="shop", version="1"))
        await store.ingest(make_batch({"GET /a": [2]}, service="shop", version="2", dropped=1))
        await store.ingest(make_batch({"GET /b": [4]}, service="pay", rejected=1))
        for _ in range(2):
            assert calls_of(await ask(store, function_name="GET /a")) == {"GET /a": 2}
            assert calls_of(await ask(store, function_name="GET /")) == {}
            assert calls_of(await ask(store, match="GET *")) == {"GET /a": 2, "GET /b": 1}
            assert calls_of(await ask(store, names=frozenset({"f", "GET /b"}))) == {"f": 1, "GET /b": 1}
            assert calls_of(await ask(store, service="shop", version="2")) == {"GET /a": 1}
            assert calls_of(await ask(store, match="GET *", per_function=False)) == {ALL: 3}
            assert list((await ask(store, service="pay")).losses()) == ["pay"]
            store = await harness.open()
        await harness.close()

    async def test_losses_belong_to_their_minutes(self, harness: StoreHarness) -> None:
        """What was lost before a span does not stain it; samples and what came late are told, and are not missing."""
        store = await harness.open()
        await store.ingest(make_batch({"a": [1]}, dropped=3, service="s"))
        harness.clock.ns += 5 * MINUTE_NS
        await store.ingest(make_batch({"a": [1, 1]}, service="s", span_seconds=3600))
        await store.ingest(make_batch({"a": [1]}, service="s", span_seconds=59.9))
        assert (await ask(store)).losses() == {"s": Losses(dropped=3, late=2)}
        recent = (await ask(store, Span(NOW + 5, NOW + 6))).losses()
        assert (recent, recent["s"].complete) == ({"s": Losses(late=2)}, True)
        await harness.close()

    async def test_a_reset_leaves_the_history_alone(self, harness: StoreHarness) -> None:
        """Reset and rotate begin windows; only a reset that says so erases the history, and then for good."""
        store = await harness.open()
        await store.ingest(make_batch({"a": [1]}, dropped=1))
        await store.reset()
        await store.ingest(make_batch({"a": [1]}))
        await store.rotate("w.json")
        assert calls_of(await ask(store)) == {"a": 2}
        await store.reset(erase_history=True)
        await store.ingest(make_batch({"b": [1]}))
        for _ in range(2):
            history = await ask(store)
            assert (calls_of(history), history.losses()) == ({"b": 1}, {})
            store = await harness.open()
        await harness.close()

    async def test_minutes_become_hours(self, harness: StoreHarness) -> None:
        """Of a day and some hours the newest day is kept by the minute, the rest by the hour, and all of it counts."""
        store = await harness.open(checkpoint_interval_seconds=0.001, durability="normal")
        minutes = DAY + 130
        for number in range(minutes):
            harness.clock.ns = (NOW // 60 * 60 + number) * MINUTE_NS
            harness.uptime_seconds += 60
            await store.ingest(make_batch({"a": [0.001 * (number + 1)]}, dropped=number % 2))
        store = await harness.open()
        harness.uptime_seconds += 10
        history = await ask(store, step=1)
        assert calls_of(history) == {"a": minutes}
        assert sum(row.total_ns for step in history.steps for row in step.rows.values()) == sum(
            1_000_000 * (number + 1) for number in range(minutes)
        )
        assert history.losses()[""].dropped == minutes // 2
        finest = [step for step in history.steps if step.rows and step.span.end - step.span.start == 1]
        assert DAY <= len(finest) < minutes - 60
        await harness.close()

    async def test_a_query_under_load_counts_every_call_once(self, harness: StoreHarness) -> None:
        """While batches come and checkpoints go, an answer has what was acknowledged before it, and nothing twice."""
        store = await harness.open(checkpoint_interval_seconds=0.001)
        acknowledged, sent = 0, 0

        async def ship() -> None:
            nonlocal acknowledged, sent
            for _ in range(150):
                sent += 1
                harness.uptime_seconds += 0.01
                harness.clock.ns += MINUTE_NS // 4
                await store.ingest(make_batch({f"f{number}": [0.001] for number in range(20)}))
                acknowledged += 1

        shipping = asyncio.gather(ship(), ship())
        answers = 0
        while not shipping.done():
            before = acknowledged
            calls = calls_of(await ask(store))
            assert all(before <= calls.get(f"f{number}", 0) <= sent for number in range(20))
            answers += 1
        await shipping
        assert calls_of(await ask(store)) == {f"f{number}": 300 for number in range(20)}
        assert answers > 1
        await harness.close()
