"""What Prometheus is told by a sidecar whose database is away."""

from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.process.sidecar import INGEST_KEY, READ_KEY, Sidecar, wait_until
from tests.store.server import PostgresqlServer, running_server

pytestmark = pytest.mark.system

INGEST = "/api/v1/profiling/ingest"
BATCH = {"durations": {"work": [0.5]}}


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    """A server to be stopped."""
    with running_server() as running:
        yield running


@pytest.fixture
def sidecar(server: PostgresqlServer, tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar of its database."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_STORE=server.url()).start()
    yield running
    running.close()


def scrape(sidecar: Sidecar) -> dict[str, float]:
    """Return the samples of a scrape."""
    request = Request(f"{sidecar.url}/metrics", headers={"X-API-Key": READ_KEY})
    with urlopen(request, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_scrape_answers_while_the_database_is_away(server: PostgresqlServer, sidecar: Sidecar) -> None:
    """Counters and `ready` are told, the database's figures left out, and all is back when the database is."""
    scrape(sidecar)
    assert 200 == sidecar.request("POST", INGEST, BATCH, key=INGEST_KEY)[0]
    assert (1, 1) == (scrape(sidecar)["chronoprof_window_rows"], scrape(sidecar)["chronoprof_ready"])
    server.stop()
    assert 503 == sidecar.request("POST", INGEST, BATCH, key=INGEST_KEY)[0]
    away = scrape(sidecar)
    assert (0, 1) == (away["chronoprof_ready"], away["chronoprof_ingest_calls_total"])
    assert 1 == away['chronoprof_ingest_refusals_total{code="unavailable"}']
    assert "chronoprof_window_rows" not in away
    server.start()
    wait_until(lambda: scrape(sidecar)["chronoprof_ready"] == 1, "the sidecar has noticed")
    assert 1 == scrape(sidecar)["chronoprof_window_rows"]
