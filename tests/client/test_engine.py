import pytest

from chronoprof_sidecar.client import Profiler, delivery, lifecycle
from chronoprof_sidecar.client.engine import Engine
from chronoprof_sidecar.client.pipeline import HELP_FROM, SLICE
from tests.client.conftest import MakeProfiler
from tests.client.scripted import DEADLINE_SECONDS, Gate, ScriptedSidecar, answer


def engine_of(profiler: Profiler) -> Engine:
    engine = profiler._state().engine
    assert engine is not None
    return engine


@pytest.fixture
def threadless(make_profiler: MakeProfiler, monkeypatch: pytest.MonkeyPatch) -> Profiler:
    """A profiler in a host where no thread can run."""
    monkeypatch.setattr(lifecycle, "threads_can_run", lambda: False)
    return make_profiler()


def test_requests_send_what_is_due(threadless: Profiler, sidecar: ScriptedSidecar) -> None:
    """Without a thread, the end of a request sends what was recorded, once the interval has passed."""
    threadless.record("a", 0.1)
    assert engine_of(threadless).threadless

    while not sidecar.calls:
        threadless.request_done()

    assert {"a": 1} == sidecar.calls


def test_a_request_waits_a_second_at_most(threadless: Profiler, sidecar: ScriptedSidecar) -> None:
    """Without a thread, a frozen sidecar holds one request up for a bounded time, and nothing is lost."""
    gate = Gate()
    sidecar.script.append(gate)
    threadless.record("a", 0.1)

    while not gate.reached.is_set():
        threadless.request_done()
    assert (False, 1) == (threadless.stats().connected, threadless.stats().buffered)

    gate.opened.set()
    assert threadless.flush(DEADLINE_SECONDS)
    assert {"a": 1} == sidecar.calls


def test_buffers_without_a_thread_stay_small(threadless: Profiler, sidecar: ScriptedSidecar) -> None:
    """Without a thread, and without any request that ends, buffers are folded by those who fill them."""
    for _ in range(3 * SLICE):
        threadless.record("a", 0.1)
        threadless.record("a", 0.1, error=True)
        assert engine_of(threadless).registry.waiting() <= 2 * SLICE

    assert threadless.flush(DEADLINE_SECONDS)
    assert ({"a": 6 * SLICE}, {"a": 3 * SLICE}) == (sidecar.calls, sidecar.errors)


def test_flush_and_close_without_a_thread(threadless: Profiler, sidecar: ScriptedSidecar) -> None:
    """Without a thread, flush and close do the work themselves, and say whether it was done."""
    assert threadless.flush(DEADLINE_SECONDS)
    assert [] == sidecar.requests

    threadless.record("a", 0.1)
    sidecar.script.append(answer(503, Retry_After="300"))
    assert not threadless.flush(DEADLINE_SECONDS)
    assert not threadless.flush(DEADLINE_SECONDS)  # the sidecar asked to wait: no request
    assert not threadless.close(DEADLINE_SECONDS)
    assert 1 == len(sidecar.requests)


def test_farewell_without_a_thread(threadless: Profiler, sidecar: ScriptedSidecar) -> None:
    """Without a thread, close still tells the sidecar that the process ends."""
    threadless.record("a", 0.1)

    assert threadless.close(DEADLINE_SECONDS)
    assert ({"a": 1}, 1) == (sidecar.calls, sidecar.finals)


def test_threads_that_outrun_the_flush_thread_fold_themselves(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """A buffer that grows beyond its bound is emptied by those who fill it, slice by slice, down to half of that."""
    profiler.record("a", 0.1)
    assert profiler.flush(DEADLINE_SECONDS)  # the flush thread is up
    engine = engine_of(profiler)
    slot = engine.registry.slot("a")
    engine._worker._fold = lambda *, everything: None  # type: ignore[method-assign]  # noqa: ARG005 - it never gets to run
    slot.successes.extend([0.1] * HELP_FROM)
    engine._pipeline.fold(at_least=10 * HELP_FROM)  # all it gets to do is to see how far behind it is

    for _ in range(HELP_FROM // SLICE):
        profiler.record("a", 0.1)
    assert len(slot.successes) < HELP_FROM // 2 + SLICE
    assert slot.on_success is slot.successes
    stats = profiler.stats()
    assert stats.recorded == stats.acknowledged + stats.buffered

    del engine._worker._fold
    assert profiler.flush(DEADLINE_SECONDS)
    assert {"a": 1 + HELP_FROM + HELP_FROM // SLICE} == sidecar.calls


def test_a_failed_start_is_not_repeated_in_a_rush(make_profiler: MakeProfiler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses a thread, recording goes on, and tries again at most once a second."""
    engine = engine_of(starved := make_profiler())
    attempts = []

    def refuse() -> bool:
        attempts.append(True)
        return False

    monkeypatch.setattr(engine._worker, "start", refuse)
    for _ in range(100):
        starved.record("a", 0.1)

    assert (True, True, 100) == (engine.threadless, len(attempts) < 50, starved.stats().buffered)


def test_an_idle_process_lets_the_sidecar_know_that_it_lives(
    make_profiler: MakeProfiler, sidecar: ScriptedSidecar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread ships batches of no calls where nothing is recorded any more, and counts nothing by it."""
    monkeypatch.setattr(delivery, "ALIVE_SECONDS", 0.05)
    profiler = make_profiler()
    profiler.record("a", 0.1)
    assert sidecar.wait_for(lambda known: len(known.requests) >= 3)
    assert {"a": 1} == sidecar.calls
    assert (1, 1, 0) == (profiler.stats().recorded, profiler.stats().acknowledged, profiler.stats().buffered)
