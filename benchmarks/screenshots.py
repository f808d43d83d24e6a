"""Pictures of the page: a shop's hour and a half before a real sidecar, at three widths, light and dark.

    make screenshots

The store is filled beforehand under a clock that runs through those minutes, so that the charts have something to show.
"""

import asyncio
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.embedded import open_store
from chronoprof_sidecar.wire.batches import decode_batch
from tests.dashboard.browser import chromium, looking_at, view_of
from tests.process.sidecar import Sidecar

MINUTES: Final = 90
SIZES: Final = ((360, 740), (1280, 800), (2560, 1440))
SCHEMES: Final = ("light", "dark")
FUNCTIONS: Final = (
    ("GET /search", 0.046, 60), ("POST /checkout", 0.110, 14), ("GET /products/{id}", 0.012, 120),
    ("shop.pricing.price_of", 0.0009, 400), ("shop.db.Orders.load", 0.0061, 90), ("GET /cart", 0.017, 70),
    ("shop.pdf.render_invoice", 0.390, 2), ("POST /login", 0.160, 4), ("shop.cache.get", 0.00011, 600),
    ("celery:shop.tasks.send_mail", 0.210, 3), ("PUT /cart/{item}", 0.021, 22), ("shop.search.rank", 0.024, 60),
    ("shop.db.Stock.reserve", 0.0085, 14), ("GET /account", 0.031, 8), ("shop.payment.authorize", 0.082, 13),
    ("GET /static/{path}", 0.0004, 150),
)  # fmt: skip
"""Name, median in seconds, calls a minute."""
VIEWS: Final = {
    "functions": view_of("functions", span="1h"),
    "function": view_of("functions", span="1h", function="POST /checkout"),
    "compare": view_of("compare", base="version:1.4", head="version:1.5"),
    "senders": view_of("senders"),
}


def main(directory: Path) -> None:
    """Draw every view into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(_fill(Path(place) / "data"))
        sidecar = Sidecar(Path(place)).start()
        try:
            _draw(sidecar, directory)
        finally:
            sidecar.close()


def _draw(sidecar: Sidecar, directory: Path) -> None:
    with chromium() as browser:
        for width, height in SIZES:
            for scheme in SCHEMES:
                size: Any = {"width": width, "height": height}
                for name, view in VIEWS.items():
                    with looking_at(browser, sidecar, view, viewport=size, color_scheme=scheme) as (page, _):
                        page.wait_for_load_state("networkidle")
                        page.screenshot(path=directory / f"{name}-{width}-{scheme}.png", animations="disabled")


async def _fill(data_dir: Path) -> None:
    """Count an hour and a half of calls: a release half-way makes the checkout slower, and once calls are lost."""
    now_ns = time.time_ns() - MINUTES * 60 * 10**9
    store = await open_store(Settings(data_dir=data_dir, admin_keys=("k" * 16,)), clock_ns=lambda: now_ns)
    for number, body in enumerate(_bodies()):
        now_ns += 60 * 10**9 if number and number % 2 == 0 else 0
        await store.ingest(decode_batch(json.dumps(body).encode()))
    await store.close()


def _bodies() -> Iterator[dict[str, Any]]:
    chance = random.Random(5)
    for minute in range(MINUTES):
        version = "1.4" if minute < MINUTES // 2 else "1.5"
        load = 1 + 0.5 * math.sin(minute / 14) + chance.uniform(-0.1, 0.1)
        for worker in (1, 2):
            yield {
                "client": {"id": f"{version}-{worker}", "seq": minute % (MINUTES // 2) + 1},
                "service": "shop",
                "version": version,
                "instance": f"web-{worker}:{400 + worker}",
                "samples": list(_samples(chance, load, is_slow=version == "1.5")),
                "dropped": 12 if minute == MINUTES - 20 else 0,
            }


def _samples(chance: random.Random, load: float, *, is_slow: bool) -> Iterator[dict[str, Any]]:
    for name, median, calls in FUNCTIONS:
        factor = 1.45 if is_slow and name in {"POST /checkout", "shop.payment.authorize"} else 1
        for _ in range(max(1, round(calls * load))):
            duration = median * factor * chance.lognormvariate(0, 0.45)
            yield {"function_name": name, "duration": duration, "error": name[0] == "P" and chance.random() < 0.01}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
