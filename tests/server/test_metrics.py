from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp.plugin import AiohttpClient

from chronoprof_sidecar.auth import Role
from chronoprof_sidecar.server.app import create_app
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.wire.metrics.protobuf import CONTENT_TYPE
from tests.server.harness import ADMIN, API, Client, headers_of, ingest
from tests.wire.protobuf_reader import read_delimited

COUNT = "chronoprof_call_duration_seconds_count"


async def scrape(client: Client) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return labels and values by name of sample."""
    answer = await client.get("/metrics")
    assert answer.status == 200
    samples: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(await answer.text()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


async def value_of(client: Client, name: str, **labels: str) -> float:
    """Return the value of one sample; 0 when there is none, as a counter has before its first event."""
    found = [value for has, value in (await scrape(client)).get(name, []) if labels.items() <= has.items()]
    assert len(found) <= 1
    return found[0] if found else 0.0


@pytest.fixture
async def scraped(client: Client) -> Client:
    """Return a client of an application that was scraped once."""
    await scrape(client)
    return client


async def test_calls_are_scraped_once_they_are_committed(scraped: Client) -> None:
    """What was acknowledged is in the next scrape, under its name, service and version."""
    await ingest(scraped, {"a": [0.25, 0.5]}, service="shop", version="1")
    assert await value_of(scraped, COUNT, function="a", service="shop", version="1") == 2
    assert await value_of(scraped, "chronoprof_call_duration_seconds_sum", function="a") == 0.75


async def test_a_repeated_batch_is_counted_once(scraped: Client) -> None:
    """A retry changes no counter but that of repeats."""
    for _ in range(2):
        await ingest(scraped, {"a": [0.25]}, client={"id": "one", "seq": 1})
    assert await value_of(scraped, COUNT, function="a") == 1
    assert await value_of(scraped, "chronoprof_ingest_batches_total", result="counted") == 1
    assert await value_of(scraped, "chronoprof_ingest_batches_total", result="repeated") == 1


@pytest.mark.parametrize("change", ["reset", "rotate", "reset?history=true"])
async def test_no_counter_goes_down_at_a_new_window(scraped: Client, change: str) -> None:
    """A reset or rotate begins a window, which a gauge tells, and leaves every counter as it is."""
    await ingest(scraped, {"a": [0.25, 0.5]}, dropped=3)
    before = await scrape(scraped)
    assert (await scraped.post(f"{API}/{change}")).status in (200, 204)
    after = await scrape(scraped)
    growing = [name for name in before if name.endswith(("_total", "_bucket", "_count", "_sum"))]
    assert COUNT in growing
    for name in growing:
        for labels, value in before[name]:
            assert value <= next(later for has, later in after[name] if has == labels)
    assert [({}, 2.0)] == after["chronoprof_window_generation"]
    assert [({}, 0.0)] == after["chronoprof_window_rows"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed"),
        (b'{"durations":{"a":[1]},"client":{"id":"gone","seq":9}}', "sequence_gap"),
    ],
)
async def test_refusals_are_counted_by_their_code(scraped: Client, body: bytes, code: str) -> None:
    """Every batch that is refused, before it is read or after, is counted under the code that its sender got."""
    headers = {"Content-Type": "application/json"}
    assert (await scraped.post(f"{API}/ingest", data=body, headers=headers)).status in (400, 409)
    assert await value_of(scraped, "chronoprof_ingest_refusals_total", code=code) == 1
    assert await value_of(scraped, "chronoprof_ingest_batches_total", result="counted") == 0


async def test_the_form_follows_the_accept_header(scraped: Client) -> None:
    """Protobuf goes out as such, zipped for who takes that, and a proxy learns what the answer depends on."""
    await ingest(scraped, {"a": [0.25]})
    answer = await scraped.get("/metrics", headers={"Accept": CONTENT_TYPE.replace(" ", "")})
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    names = [family[1][0] for family in read_delimited(await answer.read())]
    assert b"chronoprof_call_duration_seconds" in names
    plain = await scraped.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers


async def test_functions_are_bounded_by_the_setting(aiohttp_client: AiohttpClient, settings: Settings) -> None:
    """Names beyond CHRONOPROF_METRICS_MAX_FUNCTIONS add up under `_other`; the window keeps them apart."""
    app = create_app(replace(settings, metrics_max_functions=1))
    client: Client = await aiohttp_client(app, headers=ADMIN)
    await scrape(client)
    await ingest(client, {"a": [1.0], "b": [1.0], "c": [1.0]})
    rows: Any = (await (await client.get(f"{API}/data")).json())["data"]
    assert sorted(rows) == ["a", "b", "c"]
    counts = {labels["function"]: value for labels, value in (await scrape(client))[COUNT]}
    assert counts == {"a": 1.0, "_other": 2.0}


@pytest.mark.parametrize(("role", "status"), [(Role.READ, 200), (Role.INGEST, 403)])
async def test_scraping_needs_a_key_that_may_read(client: Client, role: Role, status: int) -> None:
    """A read key scrapes, one that may only send does not."""
    assert (await client.get("/metrics", headers=headers_of(role))).status == status
