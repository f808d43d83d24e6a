"""A thousand requests at the same time on one event loop: each has its own duration."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from tests.hosts.overlapping_app import MEASURED_PATH, allow_open_files, known_sleep_seconds, paths
from tests.hosts.uvicorn import Uvicorn
from tests.process.sidecar import Sidecar
from tests.proof import Proof


async def request_all(port: int) -> dict[str, float]:
    """Make all requests at once; return what the app says that each took."""

    async def get(path: str) -> Any:
        async with session.get(path) as answer:
            assert 200 == answer.status
            return await answer.read()

    connector, timeout = TCPConnector(limit=0), ClientTimeout(total=60)
    async with ClientSession(f"http://127.0.0.1:{port}", connector=connector, timeout=timeout) as session:
        await asyncio.gather(*map(get, paths()))
        async with session.get(MEASURED_PATH) as answer:
            measured: dict[str, float] = await answer.json(content_type=None)
            return measured


def test_overlapping_requests(sidecar: Sidecar, tmp_path: Path, proof: Proof) -> None:
    """Each of a thousand requests that all overlap is one call, and its time is the app's own within 5 %."""
    allow_open_files()
    with closing(Uvicorn(sidecar, tmp_path, app="tests.hosts.overlapping_app:app")) as app:
        measured = asyncio.run(request_all(app.port))
        app.stop()
    rows = sidecar.data("?limit=2000")
    assert {f"GET {path}": 1 for path in paths()} == {name: row["calls"] for name, row in rows.items()}
    off: list[float] = []
    for path, seconds in measured.items():
        assert known_sleep_seconds(path) <= seconds
        off.append(abs(rows[f"GET {path}"]["total_time"] - seconds) / seconds)
        assert off[-1] <= 0.05, path
    proof.reached(f"{len(off)} requests, the farthest off by", f"{max(off):.2%}", goal="5 %")
