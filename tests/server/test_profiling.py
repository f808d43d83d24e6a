from collections.abc import Mapping

import pytest

from chronoprof_sidecar.protocol import bucket_of
from tests.server.harness import API, Client, ingest
from tests.server.schemas import check_schema


async def names(client: Client, query: Mapping[str, str]) -> list[str]:
    answer = await client.get(f"{API}/data", params=query)
    assert answer.status == 200
    return list((await answer.json())["data"])


async def test_data_has_the_figures_of_the_specification(client: Client) -> None:
    """A row has calls, total, extremes and mean as they were sent, in seconds."""
    await ingest(client, {"GET /api/v1/recall": [0.1, 0.5, 0.3]}, service="shop")
    answer = await client.get(f"{API}/data")
    report = await answer.json()
    check_schema("Data", report)
    row = report["data"]["GET /api/v1/recall"]
    expected = {"calls": 3, "total_time": 0.9, "min_time": 0.1, "max_time": 0.5, "avg_time": 0.3}
    assert expected == {column: row[column] for column in expected}
    assert report["meta"]["complete"] is True
    assert report["meta"]["services"] == ["shop"]


async def test_data_has_the_histogram_of_one_function(client: Client) -> None:
    """With `buckets` the row has the calls per bucket, merged over the labels and summing up to all."""
    await ingest(client, {"a": [0.0, 0.25, 0.25], "b": [1.0]}, service="one")
    await ingest(client, {"a": [0.25, 3.0]}, service="two")
    report = await (await client.get(f"{API}/data?function_name=a&buckets=true")).json()
    check_schema("Data", report)
    assert ["a"] == list(report["data"])
    row = report["data"]["a"]
    expected = {0: 1, bucket_of(0.25): 3, bucket_of(3.0): 1}
    assert expected == dict(zip(row["buckets"], row["counts"], strict=True))
    assert sorted(row["buckets"]) == row["buckets"]
    assert row["calls"] == 5
    without = (await (await client.get(f"{API}/data?function_name=a&buckets=false")).json())["data"]["a"]
    assert row.keys() - without.keys() == {"buckets", "counts"}


async def test_data_of_an_empty_window(client: Client) -> None:
    """Where nothing was recorded there are no rows, and no invented figures."""
    report = await (await client.get(f"{API}/data")).json()
    check_schema("Data", report)
    assert report["data"] == {}
    assert report["meta"]["functions"] == 0


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["b", "c.x", "a"]),
        ({"function_name": "a"}, ["a"]),
        ({"function_name": "A"}, []),
        ({"function_name": "unknown"}, []),
        ({"match": "c.*"}, ["c.x"]),
        ({"match": "C.*"}, []),
        ({"match": "[ab]"}, ["b", "a"]),
        ({"service": "one"}, ["c.x", "a"]),
        ({"service": "one", "version": "2"}, ["c.x"]),
        ({"version": ""}, []),
        ({"service": "none"}, []),
        ({"sort": "calls"}, ["a", "b", "c.x"]),
        ({"sort": "calls", "order": "asc"}, ["b", "c.x", "a"]),
        ({"sort": "function_name"}, ["a", "b", "c.x"]),
        ({"sort": "function_name", "order": "desc"}, ["c.x", "b", "a"]),
        ({"sort": "p99_time"}, ["b", "c.x", "a"]),
        ({"limit": "2"}, ["b", "c.x"]),
        ({"limit": "0"}, []),
        ({"limit": "1000000"}, ["b", "c.x", "a"]),
    ],
)
async def test_data_is_filtered_sorted_and_limited(client: Client, query: dict[str, str], expected: list[str]) -> None:
    """Rows are those asked for, in the order asked for: the largest totals first by default, names from A to Z."""
    await ingest(client, {"a": [0.001, 0.002]}, service="one", version="1")
    await ingest(client, {"c.x": [2.0]}, service="one", version="2")
    await ingest(client, {"b": [3.0]}, service="two", version="1")
    assert expected == await names(client, query)


async def test_head_is_get_without_a_body(client: Client) -> None:
    """A HEAD request has the status and headers of its GET."""
    answer = await client.head(f"{API}/data")
    assert answer.status == 200
    assert await answer.read() == b""


async def test_reset_begins_a_new_window(client: Client) -> None:
    """A reset answers 204 without a body, says the new generation, and leaves nothing of the old window."""
    await ingest(client, {"a": [1.0]})
    answer = await client.post(f"{API}/reset")
    assert answer.status == 204
    assert await answer.read() == b""
    report = await (await client.get(f"{API}/data")).json()
    assert report["data"] == {}
    assert report["meta"]["generation"] == int(answer.headers["X-Chronoprof-Generation"])


async def test_reset_can_be_bound_to_a_generation(client: Client) -> None:
    """A reset meant for a generation that is gone changes nothing, so that a retry resets once."""
    generation = (await (await client.get(f"{API}/data")).json())["meta"]["generation"]
    first = await client.post(f"{API}/reset?generation={generation}&history=true")
    await ingest(client, {"a": [1.0]})
    second = await client.post(f"{API}/reset?generation={generation}")
    assert (first.status, second.status) == (204, 409)
    assert (await second.json())["error"]["code"] == "generation_conflict"
    assert await names(client, {}) == ["a"]
