"""Answers that never come and attempts that come late, between real shims and a real sidecar."""

import threading
from collections import Counter
from contextlib import closing
from random import Random

import pytest

from chronoprof_sidecar.client import Profiler
from tests.faults.proxy import Fate, Proxy
from tests.process.sidecar import INGEST_KEY, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

LOST = scaled(50, full=1000)
HELD = scaled(10, full=200)
PROFILERS = 8
DURATION_SECONDS, DURATION_NS = 2**-9, 1_953_125
"""Exact in either unit."""
SECONDS_TO_DELIVER = 60.0


class Apps:
    """Several shims that record as long as they are told to."""

    def __init__(self, url: str) -> None:
        self.profilers = [
            Profiler(enabled=True, url=url, api_key=INGEST_KEY, service="shop", flush_interval_seconds=0.05)
            for _ in range(PROFILERS)
        ]
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._record, args=(profiler,)) for profiler in self.profilers]
        for thread in self._threads:
            thread.start()

    def _record(self, profiler: Profiler) -> None:
        name = 0
        while not self._stopping.wait(0.01):
            name = (name + 1) % 5
            profiler.record(f"f{name}", DURATION_SECONDS)

    def stop(self) -> None:
        """Record no more."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        """End every shim, delivered or not."""
        self.stop()
        for profiler in self.profilers:
            profiler.close(timeout=2.0)

    def deliver(self) -> Counter[str]:
        """Record no more, deliver all, and return the sum of all their books."""
        self.stop()
        books: Counter[str] = Counter()
        for profiler in self.profilers:
            assert profiler.flush(SECONDS_TO_DELIVER)
            figures = profiler.stats()._asdict()
            books.update({name: value for name, value in figures.items() if type(value) is int})
        return books


def delivered_over(books: Counter[str], sidecar: Sidecar, proof: Proof) -> None:
    """Hold the shims' books against the sidecar's rows, to the call and the nanosecond."""
    rows = sidecar.data().values()
    counted = sum(row["calls"] for row in rows)
    proof.reached("acknowledged", f"{books['acknowledged']} calls")
    proof.reached("lost", max(0, books["recorded"] - counted), goal=0)
    proof.reached("doubled", max(0, counted - books["recorded"]), goal=0)
    assert Counter(recorded=counted, acknowledged=counted) == books
    assert counted * DURATION_NS == sum(round(row["total_time"] * 1e9) for row in rows)


@pytest.mark.timeout(scaled(120, full=400))
def test_lost_answers(sidecar: Sidecar, proof: Proof) -> None:
    """Answers lost on their way back, often several in a row, cost no call and double none."""
    draws = Random(LOST)
    proxy = Proxy(sidecar.port, lambda: draws.choice((Fate.PASS, Fate.LOSE_ANSWER)))
    with proxy.running(), closing(Apps(proxy.url)) as apps:
        wait_until(lambda: proxy.met[Fate.LOSE_ANSWER] >= LOST, "so many lost answers", 300)
        proxy.decide = lambda: Fate.PASS
        books = apps.deliver()
    proof.reached("answers lost", proxy.met[Fate.LOSE_ANSWER])
    delivered_over(books, sidecar, proof)


@pytest.mark.timeout(scaled(120, full=400))
def test_attempts_that_arrive_after_newer_ones(sidecar: Sidecar, proof: Proof) -> None:
    """An attempt that was held up on its way and arrives after newer batches changes nothing."""
    draws = Random(HELD)
    proxy = Proxy(sidecar.port, lambda: draws.choice((Fate.PASS, Fate.HOLD)))
    answers: Counter[tuple[int, object, bool]] = Counter()
    with proxy.running(), closing(Apps(proxy.url)) as apps:
        for _ in range(HELD):
            wait_until(lambda: newer_than_held(proxy, sidecar), "a held attempt that newer ones have overtaken", 60)
            status, answer = proxy.release(proxy.held.pop(0))
            answers[status, answer["accepted"], answer["duplicate"]] += 1
        proxy.decide = lambda: Fate.PASS
        books = apps.deliver()
    proof.reached("released after newer ones", answers.total())
    assert {(200, None, True)} == set(answers)
    delivered_over(books, sidecar, proof)


def newer_than_held(proxy: Proxy, sidecar: Sidecar) -> bool:
    """Say whether the sidecar has counted a newer batch of the oldest held attempt's sender."""
    if not proxy.held:
        return False
    sender, seq = proxy.held[0].client
    return any(known["id"] == sender and known["batches"] > seq for known in sidecar.senders())
