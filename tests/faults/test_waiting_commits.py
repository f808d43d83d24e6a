"""Duplicates that come while their original still waits for the disk: a real application whose disk stands still."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientResponse
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.auth import Role
from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.server.context import STORE
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.embedded.store import EmbeddedStore
from tests.process.sidecar import DEADLINE_SECONDS
from tests.proof import Proof
from tests.scale import scaled
from tests.server.harness import ADMIN, API, KEYS, Client

ROUNDS = scaled(5, full=100)
CALLS = 3


@pytest.fixture
async def client(aiohttp_client: AiohttpClient, tmp_path: Path) -> Client:
    """A client of a running application that writes nothing by itself."""
    settings = Settings(
        data_dir=tmp_path / "data",
        admin_keys=(KEYS[Role.ADMIN],),
        checkpoint_interval_seconds=3600,
        min_free_bytes=0,
    )
    return await aiohttp_client(create_app(settings), headers=ADMIN)


class Disk:
    """The one thread in which the store waits for its disk."""

    def __init__(self, client: Client) -> None:
        store = client.server.app[STORE]  # type: ignore[attr-defined]  # aiohttp types it as any kind of server
        assert isinstance(store, EmbeddedStore)
        self._thread = store._parts.database._thread
        self._queue = store._parts.queue

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[None]:
        """Let nothing reach the disk inside the block."""
        stands, goes_on = threading.Event(), threading.Event()

        def stand() -> None:
            stands.set()
            goes_on.wait(DEADLINE_SECONDS)

        standing = asyncio.create_task(self._thread.run(stand))
        try:
            assert await asyncio.to_thread(stands.wait, DEADLINE_SECONDS)
            yield
        finally:
            goes_on.set()
            await standing

    async def commit_waits(self) -> None:
        """Wait until a commit stands before the disk."""
        await self._reached(lambda: self._thread._calls.qsize() == 1)

    async def queued(self, batches: int) -> None:
        """Wait until so many batches stand behind that commit."""
        await self._reached(lambda: len(self._queue) == batches)

    async def _reached(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():  # noqa: ASYNC110  neither queue rings a bell
                await asyncio.sleep(0)


def post(client: Client, seq: int) -> asyncio.Task[ClientResponse]:
    """Send a batch of one sender, and do not wait for the answer."""
    body = {"client": {"id": "steady", "seq": seq}, "durations": {"f": [seq / 1e6] * CALLS}}
    return asyncio.create_task(client.post(f"{API}/ingest", json=body))


async def counted(client: Client) -> int:
    """Return the calls that the sidecar shows."""
    rows = (await (await client.get(f"{API}/data")).json())["data"]
    return int(rows["f"]["calls"]) if rows else 0


async def report_of(answer: asyncio.Task[ClientResponse]) -> tuple[int, object, bool]:
    """Return status, accepted calls and whether it was a duplicate."""
    response = await answer
    report = await response.json()
    return response.status, report["accepted"], report["duplicate"]


@pytest.mark.parametrize("sender_hangs_up", [False, True], ids=["patient", "hangs up"])
async def test_duplicates_of_a_batch_that_waits_for_its_commit(
    client: Client, sender_hangs_up: bool, proof: Proof
) -> None:
    """A duplicate that arrives while its original waits for the disk is counted once; neither is told before that."""
    disk = Disk(client)
    told_too_early = doubled = 0
    for seq in range(1, ROUNDS + 1):
        shown = await counted(client)
        async with disk.standing_still():
            original = post(client, seq)
            await disk.commit_waits()
            if sender_hangs_up:
                original.cancel()
            duplicates = [post(client, seq) for _ in range(2)]
            await disk.queued(2)
            told_too_early += any(answer.done() for answer in duplicates) + (await counted(client) != shown)
            told_too_early += original.done() and not original.cancelled()
        reports = [await report_of(answer) for answer in duplicates]
        assert [(200, CALLS, True)] * 2 == reports
        if not sender_hangs_up:
            assert (200, CALLS, False) == await report_of(original)
        doubled += await counted(client) - shown - CALLS
    proof.reached("duplicates", 2 * ROUNDS)
    proof.reached("doubled", doubled, goal=0)
    proof.reached("told before the commit", told_too_early, goal=0)
    assert (0, 0) == (doubled, told_too_early)


async def test_duplicates_that_are_committed_together_with_their_original(client: Client, proof: Proof) -> None:
    """Original, duplicate and next batch that wait for one commit are counted once each, in one order only."""
    disk = Disk(client)
    told_too_early = 0
    for seq in range(1, 3 * ROUNDS + 1, 3):
        async with disk.standing_still():
            first = post(client, seq)
            await disk.commit_waits()
            answers = []
            for number in (seq + 1, seq + 1, seq + 2, seq + 1):
                answers.append(post(client, number))
                await disk.queued(len(answers))
            told_too_early += any(answer.done() for answer in (first, *answers))
        expected = [(200, CALLS, False), (200, CALLS, True), (200, CALLS, False), (200, None, True)]
        assert [(200, CALLS, False), *expected] == [await report_of(answer) for answer in (first, *answers)]
    doubled = await counted(client) - 3 * ROUNDS * CALLS
    proof.reached("duplicates", 2 * ROUNDS)
    proof.reached("doubled", doubled, goal=0)
    proof.reached("told before the commit", told_too_early, goal=0)
    assert (0, 0) == (doubled, told_too_early)
