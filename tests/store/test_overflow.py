"""What the log says of a table that is full: at once, and with the template behind it as soon as it shows."""

from pathlib import Path

import pytest

from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.embedded import open_store
from tests.store.bodies import make_batch


async def test_the_hint_comes_as_soon_as_the_names_show_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first name that overflows is told of at once, the template of a hundred as soon as they are there, once."""
    store = await open_store(Settings(data_dir=tmp_path / "data", max_functions=1, min_free_bytes=0))
    lines_after = []
    for first, last in ((0, 1), (1, 2), (2, 100), (100, 101), (101, 200), (200, 300)):
        await store.ingest(make_batch({f"GET /users/{number}": [0.1] for number in range(first, last)}))
        lines_after.append([record.message for record in caplog.records if "the table is full" in record.message])
    await store.close()
    assert [0, 1, 1, 2, 2, 2] == [len(lines) for lines in lines_after]
    at_once, with_hint = lines_after[-1]
    assert "template" not in at_once
    assert with_hint.endswith("these look like one template each: 'GET /users/{…}' (100 names)")
