import asyncio
import gc
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

import pytest

from chronoprof_sidecar.domain.history import History, HistoryQuery, Span
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.server.context import REPORTS, SPANS, STORE
from tests.server.harness import API, Client, ingest
from tests.server.schemas import check_schema


async def read(client: Client, route: str, query: Mapping[str, str]) -> Any:
    """Return a route's answer, which must fit its description."""
    answer = await client.get(f"{API}/{route}", params=query)
    assert answer.status == 200, await answer.text()
    report = await answer.json()
    check_schema(route.capitalize(), report)
    return report


async def test_history_has_steps_of_all_functions(client: Client) -> None:
    """The steps follow upon each other up to now; one has the calls of all windows, the others no made-up figures."""
    await ingest(client, {"a": [0.1, 0.3], "b": [0.2]}, service="shop", dropped=2)
    await client.post(f"{API}/reset")
    report = await read(client, "history", {"since": "15m", "step": "5m"})
    steps = report["steps"]
    assert all(earlier["end"] == later["start"] for earlier, later in pairwise(steps))
    (filled,) = (step for step in steps if step["calls"])
    expected = {"calls": 3, "errors": 0, "total_time": 0.6, "min_time": 0.1, "max_time": 0.3, "resolution": 60}
    assert expected == {name: filled[name] for name in expected}
    assert filled["p99_time"] == pytest.approx(0.3, rel=0.0078)
    assert filled["complete"] is False
    assert all(step["p50_time"] is None and step["complete"] for step in steps if step is not filled)
    meta = report["meta"]
    assert (meta["step"], meta["services"], meta["complete"], meta["dropped"]) == (300, ["shop"], False, 2)
    assert (meta["since"], meta["until"]) == (steps[0]["start"], steps[-1]["end"])


async def test_history_by_function_has_the_largest(client: Client) -> None:
    """Each of the functions that took most time has as many steps as all of them together."""
    await ingest(client, {"a": [0.1, 0.3], "b": [0.2], "c": [9.0]})
    report = await read(client, "history", {"by": "function", "top": "2", "since": "1h"})
    assert list(report["functions"]) == ["c", "a"]
    assert [sum(step["calls"] for step in steps) for steps in report["functions"].values()] == [1, 2]
    assert {len(steps) for steps in report["functions"].values()} == {len(report["steps"])}
    one = await read(client, "history", {"function_name": "b"})
    assert sum(step["calls"] for step in one["steps"]) == 1


async def test_data_of_a_span_is_that_of_all_windows(client: Client) -> None:
    """`since` gives the window's shape over resets; what was counted before the span is not in it."""
    await ingest(client, {"a": [0.1]}, service="one", version="1")
    await client.post(f"{API}/reset")
    await ingest(client, {"a": [0.3], "b": [1.0]}, service="one", version="2", unknown=1)
    report = await read(client, "data", {"since": "15m"})
    assert {name: row["calls"] for name, row in report["data"].items()} == {"b": 1, "a": 2}
    row = report["data"]["a"]
    assert (row["total_time"], row["min_time"], row["p50_time"]) == (0.4, 0.1, pytest.approx(0.1, rel=0.0078))
    meta = report["meta"]
    assert (meta["functions"], meta["services"], meta["complete"], meta["unknown"]) == (2, ["one"], False, 1)
    assert list((await read(client, "data", {"since": "1h", "version": "1"}))["data"]) == ["a"]
    assert list((await read(client, "data", {"since": "1h", "limit": "1", "sort": "calls"}))["data"]) == ["a"]
    assert (await read(client, "data", {"since": "2d", "until": "1d"}))["data"] == {}


@pytest.mark.parametrize("since", ["90s", "15m", "-15m", "24h", "30d", "2w", "epoch", "Z", "+02:00", "1.5"])
async def test_a_moment_can_be_said_in_many_ways(client: Client, since: str) -> None:
    """So long ago, an RFC 3339 timestamp of any zone, or Unix seconds: the span holds what was just counted."""
    await ingest(client, {"a": [0.1]})
    ago = datetime.now(UTC) - timedelta(minutes=5)
    texts = {
        "epoch": str(int(time.time()) - 300),
        "1.5": f"{time.time() - 300:.3f}",
        "Z": ago.isoformat().replace("+00:00", "Z"),
        "+02:00": (ago + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00",
    }
    assert list((await read(client, "data", {"since": texts.get(since, since)}))["data"]) == ["a"]


@pytest.mark.parametrize(
    ("route", "query", "named"),
    [
        ("data", {"since": "yesterday"}, "since"),
        ("data", {"since": "15"}, "since"),
        ("data", {"since": "0m"}, "since"),
        ("data", {"since": "2026-11-03"}, "since"),
        ("data", {"since": "2026-11-03T09:00:00"}, "since"),
        ("data", {"since": "now"}, "since"),
        ("data", {"since": "1m", "until": "1h"}, "since"),
        ("data", {"since": "9999-11-03T09:00:00Z"}, "since"),
        ("data", {"since": "1h", "until": "soon"}, "until"),
        ("data", {"until": "1h"}, "until"),
        ("history", {"since": ""}, "since"),
        ("history", {"step": "5"}, "step"),
        ("history", {"step": "0m"}, "step"),
        ("history", {"since": "30d", "step": "1m"}, "step"),
        ("history", {"by": "service"}, "by"),
        ("history", {"top": "3"}, "top"),
        ("history", {"by": "function", "top": "0"}, "top"),
        ("history", {"by": "function", "top": "51"}, "top"),
        ("history", {"function_name": ""}, "function_name"),
        ("history", {"from": "1h"}, "from"),
    ],
)
async def test_nonsense_is_refused_by_name(client: Client, route: str, query: dict[str, str], named: str) -> None:
    """What cannot be understood is a 400 whose message says which parameter it is."""
    answer = await client.get(f"{API}/{route}", params=query)
    assert answer.status == 400
    assert named in (await answer.json())["error"]["message"]


async def test_a_step_is_rounded_up_to_minutes(client: Client) -> None:
    """Nothing finer than a minute is kept, and the answer says what its step is."""
    report = await read(client, "history", {"step": "90s", "since": "10m"})
    assert report["meta"]["step"] == 120


async def test_a_reset_can_erase_the_history(client: Client) -> None:
    """Only a reset that says so leaves nothing behind."""
    await ingest(client, {"a": [0.1]})
    await client.post(f"{API}/reset?history=true")
    assert (await read(client, "data", {"since": "1h"}))["data"] == {}


def all_taken(semaphore: asyncio.Semaphore, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set once somebody takes the last permit."""
    event, acquire = asyncio.Event(), semaphore.acquire

    async def acquire_and_tell() -> Literal[True]:
        await acquire()
        if semaphore.locked():
            event.set()
        return True

    monkeypatch.setattr(semaphore, "acquire", acquire_and_tell)
    return event


@pytest.mark.parametrize("route", ["history", "data", "compare"])
async def test_few_spans_wait_in_memory(client: Client, route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask for spans while other reports are made, only some have been read; all are answered then."""
    await ingest(client, {"a": [0.1]})
    app = client.app
    assert app is not None
    spans_taken = all_taken(app[SPANS], monkeypatch)
    query = {"base": "-1h..now", "head": "-2h..now"} if route == "compare" else {"since": "15m"}
    async with asyncio.timeout(30), asyncio.TaskGroup() as group, app[REPORTS], app[REPORTS]:
        asking = [group.create_task(client.get(f"{API}/{route}", params=query)) for _ in range(12)]
        await spans_taken.wait()
        for _ in range(12):  # each a turn of reading after those that wait for one
            await app[STORE].history(HistoryQuery(Selection(), Span(0, 1)))
        # Not isinstance, which asks a lazy object of some library for its class and so makes it import.
        histories = [each for each in gc.get_objects() if type(each) is History]
        assert len(histories) <= 3 * 2
    assert [task.result().status for task in asking] == [200] * 12
