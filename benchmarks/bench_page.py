"""How long a person waits for the page: from navigation to a drawn table of 1000 functions, and for one update.

    make bench-page

A real Chromium, headless, before a real sidecar on this machine; the page is new each time and nothing is cached. The
floor is what the figures themselves take: the same browser fetching and parsing the answer of `GET data`, and nothing
else. Medians of the rounds are printed, with the smallest and the largest.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page

from benchmarks.machine import describe_machine
from tests.dashboard.browser import chromium, drawn, ingest
from tests.process.sidecar import READ_KEY, Sidecar

FUNCTIONS: Final = 1000
ROUNDS: Final = 10
_KEEP_KEY: Final = f"sessionStorage.setItem('chronoprof.key', '{READ_KEY}')"
_FLOOR: Final = """async (key) => {
    const started = performance.now();
    await (await fetch('api/v1/profiling/data', { headers: { 'X-API-Key': key }, cache: 'no-store' })).json();
    return performance.now() - started;
}"""
_UPDATE: Final = """async () => {
    const caption = document.getElementById('functions-caption');
    const before = caption.textContent;
    const started = performance.now();
    document.getElementById('pause').click();
    document.getElementById('pause').click();
    while (caption.textContent === before) await new Promise(requestAnimationFrame);
    return performance.now() - started;
}"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds: a glance, not a measurement")
    rounds = 2 if parser.parse_args(arguments).quick else ROUNDS
    print(describe_machine(["aiohttp", "orjson", "playwright"]))
    with tempfile.TemporaryDirectory() as directory:
        sidecar = Sidecar(Path(directory)).start()
        try:
            with chromium() as browser:
                _print(_measure(browser, sidecar, rounds))
        finally:
            sidecar.close()


def _measure(browser: Browser, sidecar: Sidecar, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds per step, one for each round; every round has one new function to be seen."""
    durations = [0.001 * (1 + number % 7) for number in range(50)]
    ingest(sidecar, {f"shop.module_{number}.handler": durations for number in range(FUNCTIONS)})
    taken: dict[str, list[float]] = {"navigation to a drawn table": [], "one update": [], "the answer alone": []}
    for number in range(rounds):
        context = browser.new_context()
        context.add_init_script(_KEEP_KEY)
        page = context.new_page()
        taken["navigation to a drawn table"].append(_navigate(page, sidecar))
        ingest(sidecar, {f"shop.new_{number}": durations})
        taken["one update"].append(page.evaluate(_UPDATE))
        taken["the answer alone"].append(page.evaluate(_FLOOR, READ_KEY))
        context.close()
    return taken


def _navigate(page: Page, sidecar: Sidecar) -> float:
    started = time.perf_counter()
    page.goto(sidecar.url, wait_until="commit")
    drawn(page)
    return (time.perf_counter() - started) * 1000


def _print(taken: dict[str, list[float]]) -> None:
    print(f"{FUNCTIONS} functions, milliseconds{'':17}median     min     max")
    for what, each in taken.items():
        print(f"{what:40} {statistics.median(each):9.0f} {min(each):7.0f} {max(each):7.0f}")


if __name__ == "__main__":
    main()
