"""`GET compare` sets two windows side by side, wherever they are, as its description says."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from chronoprof_sidecar.auth import Role
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.server import saves
from chronoprof_sidecar.server.context import STORE
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.embedded.store import EmbeddedStore
from chronoprof_sidecar.wire.saves import load_save, render_json_save
from tests.server.harness import API, Client, headers_of, ingest
from tests.server.schemas import check_schema
from tests.wire.windows import lognormal, save_of


def seconds(random: Random, factor: float = 1.0, calls: int = 6000) -> list[float]:
    """Return durations of a release that takes `factor` times as long."""
    return [duration / 1e9 for duration in lognormal(random, 1e7 * factor, calls)]


async def compare(client: Client, **query: str | int) -> dict[str, Any]:
    """Return the answer, which is as described."""
    answer = await client.get(f"{API}/compare", params=query, headers=headers_of(Role.READ))
    assert answer.status == 200, await answer.text()
    report: dict[str, Any] = await answer.json()
    check_schema("Comparison", report)
    return report


async def test_versions_are_compared(client: Client) -> None:
    """What one version sent is held against what another did; a change beyond chance is found, in every figure."""
    random = Random(1)
    await ingest(client, {"f": seconds(random), "g": seconds(random)}, service="shop", version="1.4")
    await ingest(client, {"f": seconds(random, 1.3), "g": seconds(random)}, service="shop", version="1.5", dropped=3)
    report = await compare(client, base="version:1.4", head="version:1.5")
    assert ["f", "g"] == list(report["data"])
    assert {"slower"} == set(report["data"]["f"]["verdict"].values())
    assert {"noise"} == set(report["data"]["g"]["verdict"].values())
    change = report["data"]["f"]
    assert (6000, 6000) == (change["base"]["calls"], change["head"]["calls"])
    assert pytest.approx(1.3, rel=0.1) == change["ratio"]["avg_time"]
    assert change["difference"]["p50_time"] == change["head"]["p50_time"] - change["base"]["p50_time"]
    assert (2, "version:1.4", 3) == (
        report["meta"]["functions"],
        report["meta"]["base"]["name"],
        report["meta"]["head"]["dropped"],
    )


async def test_a_save_is_compared_with_what_is_live(client: Client) -> None:
    """A save keeps what a reset forgets: the same calls on both sides are the same figures, and noise."""
    await ingest(client, {"f": seconds(Random(1))}, service="shop")
    assert (await client.post(f"{API}/save?file_path=monday.json")).status == 200
    report = await compare(client, base="monday.json", head="live")
    change = report["data"]["f"]
    assert {"noise"} == set(change["verdict"].values())
    figures = [{name: value for name, value in change[side].items() if name != "rate"} for side in ("base", "head")]
    assert figures[0] == figures[1]
    assert (await client.post(f"{API}/reset")).status == 204
    gone = (await compare(client, base="monday.json", head="live"))["data"]["f"]
    assert (None, {None}) == (gone["head"], set(gone["verdict"].values()))


async def test_filters_and_bounds(client: Client) -> None:
    """Service and glob choose functions, `limit` the largest changes, and `min_calls` what is judged."""
    random = Random(1)
    for version, factor in (("1", 1.0), ("2", 1.3)):
        await ingest(client, {"GET /a": seconds(random, factor), "job": [1.0]}, service="shop", version=version)
        await ingest(client, {"till": [1.0]}, service="till", version=version)
    sides = {"base": "version:1", "head": "version:2"}
    assert ["GET /a"] == list((await compare(client, **sides, match="GET *"))["data"])
    assert ["till"] == list((await compare(client, **sides, service="till"))["data"])
    few = await compare(client, **sides, limit=1, min_calls=6001)
    assert (["GET /a"], 3) == (list(few["data"]), few["meta"]["functions"])
    assert {"not enough"} == set(few["data"]["GET /a"]["verdict"].values())
    assert {None} == set(few["data"]["GET /a"]["base"]["intervals"].values())


async def test_an_unsaved_window_reads_like_a_save(client: Client) -> None:
    """`saves/live` is what a save would hold, for a reader's key, and leaves no file behind."""
    await ingest(client, {"f": [0.25, 0.5]}, service="shop", version="1.4/rc")
    for name in ("live", "version:1.4%2Frc"):
        answer = await client.get(f"{API}/saves/{name}", headers=headers_of(Role.READ))
        assert answer.status == 200
        save = await answer.json()
        assert ([2], 2) == ([row["calls"] for row in save["rows"]], save["data"]["f"]["calls"])
    assert {"saves": []} == await (await client.get(f"{API}/saves")).json()


async def test_an_unsaved_window_is_sent_as_it_is_rendered(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first bytes arrive before its last are made, so it never stands in memory whole; a HEAD has none of it."""
    rendered: list[bytes] = []

    def render(window: Snapshot) -> Iterator[bytes]:
        for part in render_json_save(window):
            rendered.append(part)
            yield part

    monkeypatch.setattr(saves, "render_json_save", render)
    await ingest(client, {f"{number:0200}": [0.25] for number in range(4000)}, service="shop")
    head = await client.head(f"{API}/saves/live", headers={"X-Request-ID": "the-id"})
    assert (200, "application/json", "the-id") == (head.status, head.content_type, head.headers["X-Request-ID"])
    assert not rendered
    answer = await client.get(f"{API}/saves/live")
    first, early = await answer.content.readany(), len(rendered)
    whole = first + await answer.read()
    assert 0 < early < len(rendered) // 2
    assert whole == b"".join(rendered)
    assert 4000 == len(load_save(whole).rows)


async def test_spans_of_time_outlive_resets(client: Client) -> None:
    """A span counts what arrived in it, whatever was reset meanwhile, of one service if asked for."""
    await ingest(client, {"f": seconds(Random(1), calls=50)}, service="shop", dropped=2)
    assert (await client.post(f"{API}/reset")).status == 204
    await ingest(client, {"f": [1.0] * 3}, service="till")
    report = await compare(client, base="-2d..-1d", head="-1h..now")
    change = report["data"]["f"]
    assert (None, 53) == (change["base"], change["head"]["calls"])
    assert (0, 2) == (report["meta"]["base"]["dropped"], report["meta"]["head"]["dropped"])
    assert 0 < report["meta"]["head"]["seconds"] <= 3600 + 60
    one = await compare(client, base="live", head="-1h..now", service="till")
    assert (3, 3) == (one["data"]["f"]["base"]["calls"], one["data"]["f"]["head"]["calls"])
    for query, calls, services in (("", 53, ["shop", "till"]), ("?service=shop", 50, ["shop"])):
        save = await (await client.get(f"{API}/saves/-1h..now{query}")).json()
        assert (calls, services) == (save["data"]["f"]["calls"], save["meta"]["services"])
    assert (await client.post(f"{API}/save?file_path=a.json")).status == 200
    assert (await client.get(f"{API}/saves/a.json?service=shop")).status == 400


async def test_other_reports_do_not_wait_for_spans(client: Client) -> None:
    """While the history is busy, reads of spans wait for it, and answers about the window do not wait for them."""
    assert client.app is not None
    store = client.app[STORE]
    assert isinstance(store, EmbeddedStore)
    queries = ("compare?base=-30d..now&head=live", "compare?base=-30d..-1d&head=-1d..now", "saves/-30d..now") * 2
    async with store._parts.history.undisturbed():
        waiting = [asyncio.create_task(client.get(f"{API}/{query}")) for query in queries]
        for _ in range(20):  # round trips, in which the others have long arrived
            for route in ("data", "compare?base=live&head=live"):
                answer = await asyncio.wait_for(client.get(f"{API}/{route}"), 30)
                assert (200, False) == (answer.status, any(task.done() for task in waiting))
    assert {200} == {answer.status for answer in await asyncio.gather(*waiting)}


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("", 400, "base is missing"),
        ("base=live", 400, "head is missing"),
        ("base=&head=live", 400, "base must have"),
        ("base=live&head=1.4", 400, "'1.4'"),
        ("base=live&head=monday.csv", 400, "'monday.csv'"),
        ("base=live&head=..%2Fdata.json", 400, "one plain file name"),
        ("base=live&head=monday.json", 404, "monday.json"),
        ("base=live&head=results.json", 400, "results.json: not a save"),
        ("base=live&head=large.json", 400, "large.json is too large"),
        ("base=live&head=-1d", 400, "'-1d'"),
        ("base=live&head=now..-1d", 400, "does not end after its start"),
        ("base=live&head=live&min_calls=x", 400, "min_calls"),
        ("base=live&head=live&sort=calls", 400, "sort"),
    ],
)
async def test_what_cannot_be_compared_is_named(
    client: Client, settings: Settings, query: str, status: int, words: str
) -> None:
    """A parameter that is missing or not understood, and a save that is missing or none, is named."""
    directory = settings.data_dir / "saves"
    (directory / "results.json").write_text('{"data": {}}')
    with (directory / "large.json").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    answer = await client.get(f"{API}/compare?{query}")
    assert status == answer.status
    assert words in (await answer.json())["error"]["message"]


async def test_a_save_of_another_host_is_compared(client: Client, settings: Settings) -> None:
    """A save that was copied into the directory is as good as one of this sidecar."""
    (settings.data_dir / "saves" / "other.json").write_bytes(save_of({"f": [10**6] * 50}))
    await ingest(client, {"f": [0.001] * 50})
    assert {"noise"} <= set((await compare(client, base="other.json", head="live"))["data"]["f"]["verdict"].values())
