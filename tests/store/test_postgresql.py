"""The fleet store fulfils the contract, and what only it promises: replicas, a server that fails, a quorum."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from random import choice
from typing import Any

import asyncpg
import pytest

from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import SequenceGapError, StoreError, UnavailableError
from chronoprof_sidecar.protocol import OTHER
from chronoprof_sidecar.settings import Settings, load_settings
from chronoprof_sidecar.store.contract import Store
from chronoprof_sidecar.store.postgresql import merging, open_store, rows, writer
from chronoprof_sidecar.store.postgresql import store as fleet_store
from chronoprof_sidecar.wire.saves import load_save
from tests.store.bodies import make_batch
from tests.store.contract_suite import StoreContract, read_save, rows_of, totals
from tests.store.harness import Clock, StoreHarness
from tests.store.server import PostgresqlServer

pytestmark = pytest.mark.system


def make_settings(url: str, **overrides: Any) -> Settings:
    """Return settings of a store in the database at `url`."""
    environ = {"CHRONOPROF_ADMIN_KEYS": "an admin key of tests", "CHRONOPROF_STORE": url}
    return replace(load_settings(environ), **overrides)


def make_harness(url: str) -> StoreHarness:
    """Return a harness of a store in the database at `url`."""

    async def open_with(overrides: dict[str, Any], clock: Clock, monotonic: Callable[[], float]) -> Store:
        return await open_store(make_settings(url, **overrides), clock_ns=clock, monotonic=monotonic)

    return StoreHarness(open_with)


@pytest.fixture
async def harness(url: str) -> AsyncIterator[StoreHarness]:
    harness = make_harness(url)
    yield harness
    await harness.close()


class TestPostgresqlStore(StoreContract):
    """The whole contract."""


async def test_replicas_share_one_table(url: str) -> None:
    """What any replica acknowledged is in every replica's answers, and a repeat that reaches another counts nothing."""
    async with replicas(url, 3) as stores:

        async def ship(sender: str) -> None:
            for seq in range(1, 11):
                batch = make_batch({"a": [0.001], sender: [0.002, 3.0]}, sender=sender, seq=seq, dropped=1)
                assert not (await choice(stores).ingest(batch)).duplicate
                assert (await choice(stores).ingest(batch)).duplicate

        await asyncio.gather(*(ship(f"s{number}") for number in range(20)))
        snapshots = [await store.snapshot(Selection()) for store in stores]
    expected = {"a": 200} | {f"s{number}": 20 for number in range(20)}
    for snapshot in snapshots:
        assert {key.function_name: row.calls for key, row in snapshot.rows} == expected
        assert rows_of(snapshot) == rows_of(snapshots[0])
        assert snapshot.losses[""].dropped == 200


async def test_rotations_by_any_replica_lose_and_double_nothing(url: str) -> None:
    """Replicas rotate while all of them count: every acknowledged call is in exactly one window."""
    async with replicas(url, 2) as stores:

        async def ship(sender: str) -> None:
            for seq in range(1, 31):
                await choice(stores).ingest(make_batch({"a": [0.001]}, sender=sender, seq=seq))

        async def rotate(store: Store, name: str) -> list[str]:
            return [(await store.rotate(f"{name}{number}.json")).save.name for number in range(5)]

        rotating = asyncio.gather(*(rotate(store, f"w{number}-") for number, store in enumerate(stores)))
        await asyncio.gather(*(ship(f"s{number}") for number in range(8)))
        names = [name for of_replica in await rotating for name in of_replica]
        windows = [load_save(await read_save(stores[0], name)) for name in names]
        windows.append(await stores[1].snapshot(Selection()))
    assert sorted(window.generation for window in windows) == list(range(1, 12))
    assert sum(row.calls for window in windows for _, row in window.rows) == 240


@pytest.mark.parametrize("unmerged_buckets", [1, 10**9], ids=["merged each time", "never merged"])
async def test_a_histogram_is_the_same_whenever_its_buckets_are_merged(
    url: str, monkeypatch: pytest.MonkeyPatch, unmerged_buckets: int
) -> None:
    """What is read of a function is the same bucket for bucket, zeros too, as if all had been counted at once."""
    monkeypatch.setattr(rows, "_UNMERGED_BUCKETS", unmerged_buckets)
    batches = [[0.0, 0.001 * number, 1 / number] for number in range(1, 21)] * 2
    async with replicas(url, 2) as stores:
        for durations in batches:
            await choice(stores).ingest(make_batch({"parts": durations}))
        await stores[0].ingest(make_batch({"whole": [each for durations in batches for each in durations]}))
        found = {key.function_name: row.histogram for key, row in (await stores[1].snapshot(Selection())).rows}
    assert found["whole"].to_sparse() == found["parts"].to_sparse()
    assert found["parts"].count == found["whole"].count == 120


async def test_buckets_that_wait_to_be_merged_stay_few(url: str) -> None:
    """A row that is added to for ever does not grow for ever."""
    batch = make_batch({"a": [1.02**number for number in range(50)]})
    async with replicas(url, 1) as (store,):
        for _ in range(60):
            await store.ingest(batch)
    # Chance merges: 2500 buckets in a row without it are as likely as one in ten billion.
    assert 2500 > int(str(await execute(url, "SELECT max(cardinality(buckets)) FROM chronoprof.rows")))


async def test_the_bound_on_rows_holds_for_all_replicas_together(url: str) -> None:
    """However many replicas admit new names at once, a window has no more than the bound, and `_other` the rest."""
    async with replicas(url, 3, max_functions=20) as stores:
        await asyncio.gather(
            *(store.ingest(make_batch({f"{place}-{n}": [1]})) for n in range(10) for place, store in enumerate(stores))
        )
        calls = await totals(stores[0])
    assert sum(count for count, _ in calls.values()) == 30
    assert len(calls.keys() - {OTHER}) == 20


async def test_replicas_in_one_shard_never_wait_for_each_other_in_a_circle(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches that name the same functions in opposite orders are merged in one: no deadlock, nothing to repeat."""

    async def share_a_shard(_connection: asyncpg.Connection) -> int:
        return 0

    monkeypatch.setattr(merging, "take_shard", share_a_shard)
    names = [f"f{number:03}" for number in range(100)]
    async with replicas(url, 2) as stores:

        async def ship(store: Store, order: list[str]) -> None:
            for _ in range(15):
                await store.ingest(make_batch({name: [0.001] for name in order}))

        await asyncio.gather(ship(stores[0], names), ship(stores[1], names[::-1]))
        assert await totals(stores[0]) == dict.fromkeys(names, (30, 30000000))


async def test_figures_add_up_over_replicas(url: str) -> None:
    """Rows and senders that come and go by any replica are told by every one, without being counted anew."""
    async with replicas(url, 3) as stores:
        for place, store in enumerate(stores):
            await store.ingest(make_batch({"a": [1], f"f{place}": [1]}, sender=f"s{place}"))
            assert [(1, 2 + place, 0, 1 + place)] * 3 == [(await each.figures())[:4] for each in stores]
        with pytest.raises(SequenceGapError):
            await stores[0].ingest(make_batch({"a": [1]}, sender="stranger", seq=2))
        await stores[1].reset()
        await execute(url, "DELETE FROM chronoprof.senders WHERE id <> 's1'")
        assert [(2, 0, 0, 1)] * 3 == [(await each.figures())[:4] for each in stores]


async def test_the_schema_is_made_once(url: str) -> None:
    """Replicas that start together on an empty database find one schema, whoever makes it."""
    async with replicas(url, 6) as stores:
        await asyncio.gather(*(store.ingest(make_batch({"a": [1]})) for store in stores))
        assert await totals(stores[-1]) == {"a": (6, 6 * 10**9)}


async def test_a_newer_schema_is_left_untouched(url: str) -> None:
    """An older release refuses a database that a newer one wrote."""
    async with replicas(url, 1):
        pass
    await execute(url, "UPDATE chronoprof.schema_version SET version = 99")
    with pytest.raises(StoreError, match="newer release"):
        await open_store(make_settings(url))


async def test_a_role_that_may_only_read_and_write_rows_is_enough(server: PostgresqlServer, url: str) -> None:
    """Once the schema is there, a sidecar needs no right to change it."""
    async with replicas(url, 1):
        pass
    await execute(
        url,
        "DROP ROLE IF EXISTS sidecar; CREATE ROLE sidecar LOGIN; GRANT USAGE ON SCHEMA chronoprof TO sidecar;"
        " GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA chronoprof TO sidecar;"
        " GRANT USAGE ON ALL SEQUENCES IN SCHEMA chronoprof TO sidecar",
    )
    async with replicas(url.replace("postgres@", "sidecar@"), 1) as (store,):
        await store.ingest(make_batch({"a": [1]}, sender="s"))
        await store.rotate("w.json")
        await store.reset(erase_history=True)
        assert [save.name for save in await store.saves()] == ["w.json"]
        assert store.unready_reason() is None
    await execute(url, "DROP OWNED BY sidecar; DROP ROLE sidecar")


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hush-hush@127.0.0.1:1/none", "postgresql://me:hush-hush/@h:x/d", "postgresql://me:hush-hush@[/d"],
)
async def test_no_password_is_shown(url: str) -> None:
    """Neither a server that is not there nor a URL that is none has its password told."""
    settings = make_settings(url)
    with pytest.raises(StoreError, match="CHRONOPROF_STORE") as refused:
        await open_store(settings)
    assert "hush" not in f"{refused.value} {settings!r}"


async def test_a_server_that_comes_back_is_used_again(own_server: PostgresqlServer) -> None:
    """While the server is away batches are refused for now and readiness says why; afterwards it goes on by itself."""
    batch = make_batch({"a": [1]}, sender="s")
    async with replicas(own_server.url(), 1) as (store,):
        await store.ingest(batch)
        own_server.kill()
        for attempt in range(2):
            with pytest.raises(UnavailableError) as refused:
                await store.ingest(make_batch({"a": [1]}, sender="s", seq=2))
            assert refused.value.retry_after_seconds > 0, attempt
        reason = store.unready_reason() or ""
        assert "database" in reason
        assert "127.0.0.1" not in reason
        with pytest.raises(UnavailableError):
            await store.snapshot(Selection())
        with pytest.raises(UnavailableError):
            await store.figures()
        own_server.start()
        await until(lambda: store.unready_reason() is None)
        assert (await store.ingest(batch)).duplicate
        assert not (await store.ingest(make_batch({"a": [1]}, sender="s", seq=2))).duplicate
        assert await totals(store) == {"a": (2, 2 * 10**9)}


async def test_a_host_that_is_frozen_is_passed_by(server: PostgresqlServer, url: str) -> None:
    """A host that takes connections and never answers keeps nobody from the next one."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        hosts = f"127.0.0.1:{frozen.getsockname()[1]},127.0.0.1:{server.port}"
        async with replicas(url.replace(f"127.0.0.1:{server.port}", hosts), 1) as (store,):
            await store.ingest(make_batch({"a": [1]}))


async def test_nothing_is_acknowledged_without_a_quorum(
    own_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that only the primary has is neither acknowledged, nor a repeat of it, nor is it reported, until a quorum
    has it; then it counts once.
    """
    monkeypatch.setattr(fleet_store, "READ_SECONDS", 0.5)
    monkeypatch.setattr(merging, "COMMIT_SECONDS", 0.5)
    monkeypatch.setattr(writer, "COMMIT_SECONDS", 0.5)
    batch = make_batch({"a": [1]}, sender="s")
    async with replicas(own_server.url(), 2) as (first, second):
        await first.ingest(make_batch({"b": [1]}))
        await require_standby(own_server, "nobody")
        with pytest.raises(UnavailableError):
            await first.ingest(batch)
        assert "quorum" in (first.unready_reason() or "")
        # Our time limit ended the wait, so the primary shows the batch to everybody.
        shown = "SELECT count(*) FROM chronoprof.rows WHERE function_name = 'a'"
        await until_async(lambda: execute(own_server.url(), shown))
        with pytest.raises(UnavailableError):
            await second.snapshot(Selection())
        with pytest.raises(UnavailableError):
            await second.ingest(batch)
        await require_standby(own_server, "")
        await until(lambda: first.unready_reason() is None and second.unready_reason() is None)
        assert (await first.ingest(batch)).duplicate
        assert await totals(first) == {"a": (1, 10**9), "b": (1, 10**9)}


async def test_a_wait_for_the_quorum_that_somebody_ends_acknowledges_nothing(own_server: PostgresqlServer) -> None:
    """The server reports success, with a warning: the batch is refused for now, and its repeat is a duplicate."""
    batch = make_batch({"a": [1]}, sender="s")
    async with replicas(own_server.url(), 1) as (store,):
        await store.ingest(make_batch({"b": [1]}))
        await require_standby(own_server, "nobody")
        waiting = asyncio.ensure_future(store.ingest(batch))
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        await until_async(lambda: execute(own_server.url(), cancel))
        with pytest.raises(UnavailableError, match="stopped waiting"):
            await waiting
        await require_standby(own_server, "")
        await until(lambda: store.unready_reason() is None)
        assert (await store.ingest(batch)).duplicate
        assert await totals(store) == {"a": (1, 10**9), "b": (1, 10**9)}


async def test_a_replica_that_is_never_heard_of_again_holds_nobody_up(url: str) -> None:
    """Whoever is cut off in the middle of a batch loses its locks in seconds, though the server waits for more."""
    async with replicas(url, 1) as (store,):
        await store.ingest(make_batch({"a": [1]}, sender="s"))
        silent = await asyncpg.connect(url, server_settings={"application_name": "chronoprof-sidecar"})
        await silent.execute("BEGIN; UPDATE chronoprof.senders SET seq = seq")
        batch = make_batch({"a": [1]}, sender="s", seq=2)
        with pytest.raises(UnavailableError):
            await store.ingest(batch)
        await until(lambda: store.unready_reason() is None)
        assert not (await store.ingest(batch)).duplicate
        silent.terminate()


@asynccontextmanager
async def replicas(url: str, number: int, **overrides: Any) -> AsyncIterator[list[Store]]:
    """Run replicas that start together on one database."""
    stores = await asyncio.gather(*(open_store(make_settings(url, **overrides)) for _ in range(number)))
    try:
        yield list(stores)
    finally:
        await asyncio.gather(*(store.close() for store in stores))


async def execute(url: str, statement: str) -> object:
    """Run a statement as an administrator, and return the first value of its answer."""
    connection = await asyncpg.connect(url)
    try:
        if statement.startswith("SELECT"):
            return await connection.fetchval(statement)
        return await connection.execute(statement)
    finally:
        await connection.close()


async def require_standby(server: PostgresqlServer, name: str) -> None:
    """Have every commit wait for a standby of that name; for none if it is empty."""
    # Without waiting for one itself.
    await execute(server.url(), f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    await execute(server.url(), "SELECT pg_reload_conf()")
    await until_async(lambda: setting_is(server, name))


async def setting_is(server: PostgresqlServer, name: str) -> bool:
    """Say whether new connections find this standby required."""
    return await execute(server.url(), "SELECT current_setting('synchronous_standby_names')") == name


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""

    async def holds() -> bool:
        return condition()

    await until_async(holds)


async def until_async(condition: Callable[[], Awaitable[object]]) -> None:
    """Return when a condition holds; a deadline bounds the wait."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110  it is a server of another process that changes
            await asyncio.sleep(0.02)
