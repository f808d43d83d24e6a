"""Journals that released versions wrote replay to the same numbers for ever."""

import base64
import json
from pathlib import Path

import pytest

from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.store.embedded.database import Database
from tests.store.contract_suite import totals
from tests.store.test_embedded import make_harness

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
async def test_a_released_journal_replays(path: Path, tmp_path: Path) -> None:
    """Rows, losses, senders and generation come out as the release that wrote the journal counted them."""
    golden = json.loads(path.read_text())
    directory = tmp_path / "data"
    directory.mkdir()
    database = Database(directory / "chronoprof.db", durability="full", min_free_bytes=0)
    with database.transaction():
        database.write_meta(generation=golden["generation"], window_start_ns=golden["window_start_ns"])
        database.append_journal((lsn, base64.b64decode(record)) for lsn, record in golden["journal"])
    database.close()
    harness = make_harness(directory)
    store = await harness.open(max_functions=1)
    snapshot = await store.snapshot(Selection())
    assert {name: list(row) for name, row in (await totals(store)).items()} == golden["totals"]
    assert {service: losses.overflowed for service, losses in snapshot.losses.items()} == golden["overflowed"]
    assert {sender.id: sender.seq for sender in await store.senders()} == golden["senders"]
    await harness.close()


def test_there_is_a_golden_journal_of_the_current_wire_version() -> None:
    """Whoever changes the wire version adds a journal."""
    assert [path.stem for path in GOLDEN] == ["journal_v1"]
