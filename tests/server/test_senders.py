from tests.server.harness import API, Client, ingest
from tests.server.schemas import check_schema


async def test_senders_are_listed_with_what_they_lost(client: Client) -> None:
    """Who shipped is listed with labels, calls and losses; a batch without a sender adds none."""
    await ingest(client, {"a": [1.0, 2.0]}, client={"id": "one", "seq": 1}, service="shop", instance="web:1", dropped=4)
    await ingest(client, {"a": [1.0]})
    report = await (await client.get(f"{API}/senders")).json()
    check_schema("Senders", report)
    (sender,) = report["senders"]
    expected = {"id": "one", "service": "shop", "instance": "web:1", "batches": 1, "calls": 2, "dropped": 4}
    assert expected == {field: sender[field] for field in expected}
