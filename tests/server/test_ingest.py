import pytest

from tests.server.harness import API, Client
from tests.server.schemas import check_schema

BATCH = {
    "client": {"id": "5f1c0a77", "seq": 1},
    "service": "shop",
    "durations": {"GET /recall": [0.25, 0.1]},
    "samples": [{"function_name": "GET /recall", "duration": 0.25, "error": True}],
}


async def post(client: Client, batch: object) -> tuple[int, dict[str, object]]:
    answer = await client.post(f"{API}/ingest", json=batch)
    return answer.status, await answer.json()


async def test_a_batch_is_counted_when_it_is_acknowledged(client: Client) -> None:
    """Once the answer is there, the calls are in the window."""
    status, outcome = await post(client, BATCH)
    check_schema("Outcome", outcome)
    assert status == 200
    assert outcome == {
        "accepted": 3,
        "rejected_items": 0,
        "errors": [],
        "client": {"id": "5f1c0a77", "seq": 1},
        "duplicate": False,
    }
    row = (await (await client.get(f"{API}/data")).json())["data"]["GET /recall"]
    assert (row["calls"], row["errors"], row["total_time"]) == (3, 1, 0.6)


async def test_a_bad_item_is_named_and_the_rest_counts(client: Client) -> None:
    """One bad item costs itself alone, and the answer says which it was and why."""
    status, outcome = await post(client, {"durations": {"good": [1.0], "bad": [-1.0]}})
    check_schema("Outcome", outcome)
    assert (status, outcome["accepted"], outcome["rejected_items"]) == (200, 1, 1)


async def test_a_batch_counts_once(client: Client) -> None:
    """A repeated batch is answered as the first time, with a mark, and an older one without its figures."""
    await post(client, BATCH)
    status, again = await post(client, BATCH)
    assert (status, again["accepted"], again["duplicate"]) == (200, 3, True)
    await post(client, {**BATCH, "client": {"id": "5f1c0a77", "seq": 2}})
    status, old = await post(client, BATCH)
    check_schema("Outcome", old)
    assert (status, old["accepted"], old["duplicate"]) == (200, None, True)


@pytest.mark.parametrize(
    ("seq", "extra", "status", "code"),
    [(3, {}, 409, "sequence_gap"), (1, {"dropped": 7}, 422, "sequence_reused")],
)
async def test_a_batch_out_of_order_is_refused(
    client: Client, seq: int, extra: dict[str, int], status: int, code: str
) -> None:
    """A gap is a 409 and a number used for another body a 422; neither counts anything."""
    await post(client, BATCH)
    refused, answer = await post(client, {**BATCH, **extra, "client": {"id": "5f1c0a77", "seq": seq}})
    assert refused == status
    check_schema("Error", answer)
    assert answer["error"]["code"] == code  # type: ignore[index]
    assert (await (await client.get(f"{API}/data")).json())["meta"]["dropped"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"NaN",
        b'{"samples": 1}',
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"samples":[{"duration":1e999}]}',
    ],
)
async def test_what_is_no_batch_is_malformed(client: Client, body: bytes) -> None:
    """Bytes that are no batch are a 400, or their items are rejected; never a 500, and nothing is counted."""
    answer = await client.post(f"{API}/ingest", data=body, headers={"Content-Type": "application/json"})
    decoded = await answer.json()
    assert answer.status == 400 or decoded["accepted"] == 0
    assert (await (await client.get(f"{API}/data")).json())["data"] == {}
