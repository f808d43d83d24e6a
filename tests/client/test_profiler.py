import asyncio
import gc
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest

from chronoprof_sidecar.client import Profiler, Stats
from chronoprof_sidecar.client import profiler as default_profiler
from chronoprof_sidecar.client.buffers import MAX_NAMES
from chronoprof_sidecar.errors import SettingsError
from chronoprof_sidecar.protocol import KEY_HEADER
from tests.client.conftest import MakeProfiler
from tests.client.scripted import (
    DEADLINE_SECONDS,
    KEY,
    Gate,
    Reply,
    ScriptedSidecar,
    answer,
    cut_after,
    cut_before,
    foreign_page,
    serve,
    somebody_elses_answer,
)
from tests.proof import Proof
from tests.scale import scaled

CALLS_A_THREAD = scaled(50_000, full=500_000)


def add(a: int, b: int = 1) -> int:
    return a + b


def settled(stats: Stats) -> int:
    return stats.acknowledged + stats.rejected + stats.dropped + stats.unknown + stats.buffered


def wait_until(condition: Callable[[], bool]) -> bool:
    """Poll a condition up to a deadline."""
    pause = threading.Event()
    return any(condition() or pause.wait(0.01) for _ in range(int(DEADLINE_SECONDS * 100)))


# --- off, on, and wrongly set ---------------------------------------------------------------------------------------


def test_off_means_nothing_happens() -> None:
    """Where profiling is not enabled, functions come back as they are and nothing starts or raises."""
    threads = threading.active_count()
    off = Profiler(environ={})

    assert add is off.timed(add)
    assert add is off.timed("name", sample_every=5, split=True)(add)
    with off.timer("block"):
        off.record("a", 0.1)
    off.record("a", "nonsense")  # type: ignore[arg-type]
    off.request_done()
    assert (False, True, True, Stats()) == (off.enabled, off.flush(), off.close(), off.stats())
    assert threads == threading.active_count()


def test_the_default_profiler_follows_the_environment() -> None:
    """The default profiler is one object, off unless the environment says otherwise."""
    assert not default_profiler.enabled


def test_a_bad_setting_leaves_profiling_off(said: Callable[[], list[str]]) -> None:
    """A bad setting breaks nothing: profiling is off, one warning and `config_error` say why."""
    wrong = Profiler(environ={"ENABLE_PROFILING": "1", "CHRONOPROF_API_KEY": KEY, "CHRONOPROF_URL": "nonsense"})

    assert add is wrong.timed(add)
    assert not wrong.enabled
    error = wrong.stats().config_error
    assert error is not None
    assert "CHRONOPROF_URL" in error
    assert [f"profiling stays off: {error}"] == said()


def test_configure_precedes_the_first_use(sidecar: ScriptedSidecar) -> None:
    """Settings may be given in code until the profiler is used, and are frozen from then on."""
    late = Profiler(environ={})
    late.configure(enabled=True, url=sidecar.url)
    late.configure(api_key=KEY)
    assert late.enabled

    with pytest.raises(SettingsError, match="before the first use"):
        late.configure(enabled=False)


def test_first_use_by_many_threads_at_once(sidecar: ScriptedSidecar) -> None:
    """Threads that use a new profiler at the same moment share one engine: nothing that they record is lost."""
    for _ in range(20):
        fresh = Profiler(environ={}, enabled=True, url=sidecar.url, api_key=KEY)
        barrier = threading.Barrier(4)

        def record(profiler: Profiler = fresh, start: threading.Barrier = barrier) -> None:
            start.wait()
            profiler.record("first", 0.1)

        threads = [threading.Thread(target=record) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 4 == fresh.stats().recorded
        assert fresh.close(DEADLINE_SECONDS)


@pytest.mark.parametrize("target", [3, object(), Profiler])
def test_only_functions_can_be_timed(profiler: Profiler, target: Any) -> None:
    """What is no function is refused at once, also where profiling is off."""
    for each in (profiler, Profiler(environ={})):
        with pytest.raises(TypeError, match="takes a function"):
            each.timed(target)


def test_a_bad_rate_is_refused(profiler: Profiler) -> None:
    """A rate that makes no sense is refused at once, also where profiling is off."""
    for each in (profiler, Profiler(environ={})):
        with pytest.raises(SettingsError, match="SAMPLE_EVERY"):
            each.timed(sample_every=0)(add)


# --- recording ------------------------------------------------------------------------------------------------------


def test_everything_recorded_arrives(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Functions, blocks and recorded durations arrive under their names, errors counted."""
    timed_add = profiler.timed(add)
    assert [2, 4] == [timed_add(1), timed_add(1, b=3)]
    with profiler.timer("block"):
        pass
    with pytest.raises(ValueError, match="x"), profiler.timer("block"):
        raise ValueError("x")
    profiler.record("row", 0.5)
    profiler.record("row", 0.25, error=True)

    assert profiler.flush(DEADLINE_SECONDS)

    assert {f"{__name__}.add": 2, "block": 2, "row": 2} == sidecar.calls
    assert {"block": 1, "row": 1} == +sidecar.errors
    assert 750_000_000 == sidecar.total_ns["row"]
    assert Stats(recorded=6, acknowledged=6, connected=True) == profiler.stats()


def test_calls_arrive_by_themselves(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Nobody has to flush: the background thread sends what is recorded, by whatever name it came first."""
    profiler.timed("timed")(add)(1)
    assert sidecar.wait_for(lambda s: s.calls["timed"] == 1)
    profiler.record("recorded", 0.1)
    assert sidecar.wait_for(lambda s: s.calls["recorded"] == 1)
    with profiler.timer("block"):
        pass
    assert sidecar.wait_for(lambda s: s.calls["block"] == 1)


async def test_timers_of_async_blocks(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """`async with` times a block, and a cancelled block is an error."""

    async def wait_for_ever() -> None:
        async with profiler.timer("waiting"):
            await asyncio.Event().wait()

    async with profiler.timer("block"):
        pass
    task = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await asyncio.to_thread(profiler.flush, DEADLINE_SECONDS)
    assert ({"block": 1, "waiting": 1}, {"waiting": 1}) == (sidecar.calls, +sidecar.errors)


def test_timers_nest(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Blocks of one name may be inside each other, and one timer may be used again."""
    again = profiler.timer("block")
    with again, profiler.timer("block"):
        pass
    with again:
        pass

    assert profiler.flush(DEADLINE_SECONDS)
    assert {"block": 3} == sidecar.calls


@pytest.mark.parametrize(
    "duration", [0.0, -0.0, 3, 864_000, numpy.float32(0.5), numpy.float64(0.5), Decimal("0.5"), Fraction(1, 2)]
)
def test_durations(profiler: Profiler, sidecar: ScriptedSidecar, duration: Any) -> None:
    """Zero, whole seconds and every kind of real number up to ten days are durations."""
    profiler.record("a", duration)

    assert profiler.flush(DEADLINE_SECONDS)
    assert {"a": round(duration * 1_000_000_000)} == sidecar.total_ns


@pytest.mark.parametrize("duration", [-1e-9, 864_001, math.nan, math.inf, True, "0.1", None, 10**400, object(), [1.0]])
def test_no_durations(profiler: Profiler, sidecar: ScriptedSidecar, duration: Any) -> None:
    """What is no duration never raises: it is dropped, counted, and the sidecar hears of it."""
    profiler.record("a", duration)
    profiler.record("a", duration, error=True)

    profiler.flush(DEADLINE_SECONDS)
    assert (2, 2, 0) == (profiler.stats().recorded, profiler.stats().dropped, profiler.stats().acknowledged)
    assert sidecar.wait_for(lambda s: s.losses["dropped"] == 2)


@pytest.mark.parametrize("name", [None, 3, b"bytes", ["list"], {}])
def test_no_names(profiler: Profiler, name: Any) -> None:
    """What is no name never raises: it is dropped and counted."""
    profiler.record(name, 0.1)
    with profiler.timer(name):
        pass

    assert 2 == profiler.stats().recorded
    profiler.flush(DEADLINE_SECONDS)
    assert 2 == profiler.stats().dropped


def test_names_are_cleaned(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Control characters and surrogates become U+FFFD and long names are cut, so that no name is ever rejected."""
    names = ["GET /a\nb", "lone \ud800 surrogate", "x" * 600, "", "_other"]
    for name in names:
        profiler.record(name, 0.1)
        with profiler.timer(name):
            pass
        profiler.timed(name)(add)(1)

    assert profiler.flush(DEADLINE_SECONDS)
    expected = ["GET /a\ufffdb", "lone \ufffd surrogate", "x" * 512, "<unnamed>", "<_other>"]
    assert set(expected) <= sidecar.calls.keys() | {"<unnamed>"}
    assert 15 == sidecar.calls.total()


def test_names_are_bounded(profiler: Profiler, said: Callable[[], list[str]]) -> None:
    """An app that makes names out of data costs bounded memory; what does not fit is dropped, counted and said."""
    for i in range(MAX_NAMES + 5):
        profiler.record(f"/users/{i}", 0.1)
    with profiler.timer("/users/one-more"):
        pass
    profiler.timed("/users/and-another")(add)(1)

    profiler.flush(DEADLINE_SECONDS)
    assert (7, MAX_NAMES) == (profiler.stats().dropped, profiler.stats().acknowledged)
    assert any("names" in line for line in said())


def test_excluded_names(make_profiler: MakeProfiler, sidecar: ScriptedSidecar) -> None:
    """What a pattern excludes is never recorded, in whatever way it would be."""
    picky = make_profiler(exclude=["GET /health*", "*.add"])

    assert add is picky.timed(add)
    picky.record("GET /health/live", 0.1)
    with picky.timer("GET /health"):
        pass
    picky.record("GET /items", 0.1)

    assert picky.flush(DEADLINE_SECONDS)
    assert {"GET /items": 1} == sidecar.calls
    assert 1 == picky.stats().recorded


def test_sampled_calls_are_unbiased_and_flagged(make_profiler: MakeProfiler, sidecar: ScriptedSidecar) -> None:
    """One call in n is recorded and counts for n; an own rate wins; the item says so."""
    coarse = make_profiler(sample_every=5)
    every = coarse.timed("every", sample_every=1)(add)
    some = coarse.timed("some")(add)
    for _ in range(20_000):
        every(1)
        some(1)
        coarse.record("recorded", 0.1)
        with coarse.timer("block"):
            pass

    assert coarse.flush(DEADLINE_SECONDS)
    assert 20_000 == sidecar.calls["every"]
    for name in ("some", "recorded", "block"):
        # 4000 samples expected, standard deviation 57: six of them are never missed by chance.
        assert abs(sidecar.calls[name] - 20_000) < 6 * 57 * 5
        assert {5} == {item["sample_every"] for item_name, item in sidecar.items if item_name == name}
    stats = coarse.stats()
    assert sidecar.calls.total() == stats.acknowledged == stats.recorded


def test_recording_from_signal_handlers_and_destructors(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Samples may come from a signal handler or a destructor that interrupts recording itself: none is lost."""
    handled = destroyed = 0

    class Node:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            nonlocal destroyed
            destroyed += 1
            profiler.record("destructor", 0.1)

    def handle(_number: int, _frame: Any) -> None:
        nonlocal handled
        handled += 1
        profiler.record("handler", 0.1)

    timed_add = profiler.timed("add")(add)
    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for _ in range(50_000):
            timed_add(1)
            Node()
        gc.collect()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert profiler.flush(DEADLINE_SECONDS)
    assert {"add": 50_000, "handler": handled, "destructor": destroyed} == sidecar.calls


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    """Threads that take turns as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_every_call_of_many_threads_is_counted(
    profiler: Profiler, sidecar: ScriptedSidecar, hasty_switches: None, proof: Proof
) -> None:
    """Eight threads that take turns every microsecond lose no call, while the flush thread takes what they append."""

    def fail(number: int) -> None:
        if number % 2:
            raise ValueError

    timed_fail = profiler.timed("fail")(fail)

    def call() -> None:
        for number in range(CALLS_A_THREAD):
            try:
                timed_fail(number)
            except ValueError:
                continue

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        stats = profiler.stats()
        assert stats.recorded == settled(stats)
    for thread in threads:
        thread.join()

    assert profiler.flush(DEADLINE_SECONDS)
    calls = 8 * CALLS_A_THREAD
    assert (calls, calls // 2) == (sidecar.calls["fail"], sidecar.errors["fail"])
    proof.reached("calls, all counted", f"{calls:,}")


# --- delivering -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "misbehaviour",
    [
        cut_before,
        cut_after,
        foreign_page,
        somebody_elses_answer,
        answer(204),
        answer(408),
        answer(409),
        answer(422),
        answer(429, Retry_After="0"),
        answer(500),
        answer(503, Retry_After="0"),
    ],
)
def test_trouble_passes(profiler: Profiler, sidecar: ScriptedSidecar, misbehaviour: Any) -> None:
    """Whatever goes wrong for a while, in the end every call is counted, and counted once."""
    sidecar.script += [misbehaviour, misbehaviour]
    for i in range(4):
        profiler.record(f"function {i}", 0.1)

    assert wait_until(lambda: profiler.flush(0.5))

    assert {f"function {i}": 1 for i in range(4)} == sidecar.calls
    assert Stats(recorded=4, acknowledged=4, connected=True) == profiler.stats()


def test_a_batch_that_is_too_large_arrives_in_parts(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Where something in between takes smaller bodies only, functions travel in smaller groups."""
    gate = Gate()

    def hold(holding: ScriptedSidecar, body: bytes) -> Reply:
        gate(holding, body)
        return holding.count(body)

    sidecar.script += [hold, answer(413)]
    profiler.record("first", 0.1)
    assert gate.reached.wait(DEADLINE_SECONDS)
    for i in range(4):
        profiler.record(f"function {i}", 0.1)
    gate.opened.set()

    assert profiler.flush(DEADLINE_SECONDS)
    assert {"first": 1} | {f"function {i}": 1 for i in range(4)} == sidecar.calls


@pytest.mark.parametrize("status", [400, 415])
def test_rejected_batches(
    profiler: Profiler, sidecar: ScriptedSidecar, said: Callable[[], list[str]], status: int
) -> None:
    """A batch that the sidecar refuses for good is booked as rejected, said, and told to the sidecar."""
    sidecar.script.append(answer(status))
    profiler.record("a", 0.1)

    assert not profiler.flush(DEADLINE_SECONDS)

    assert (1, 0) == (profiler.stats().rejected, profiler.stats().buffered)
    assert sidecar.wait_for(lambda s: s.losses["rejected"] == 1)
    assert any(f"HTTP {status}" in line for line in said())


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 421])
def test_refusals_are_kept(
    profiler: Profiler, sidecar: ScriptedSidecar, said: Callable[[], list[str]], status: int
) -> None:
    """A wrong key or URL keeps everything, is said once, and does not make an exit wait."""
    sidecar.script += [answer(status)] * 5
    profiler.record("a", 0.1)

    assert wait_until(lambda: profiler.stats().connected is False)
    assert not profiler.close(DEADLINE_SECONDS)

    assert (1, 1) == (profiler.stats().buffered, len(sidecar.requests))
    [line] = said()
    assert "CHRONOPROF_URL" in line
    assert KEY not in line


def test_a_rotated_key_is_read_again(make_profiler: MakeProfiler, sidecar: ScriptedSidecar, tmp_path: Path) -> None:
    """After a 401 the key is read from its file again."""
    file = tmp_path / "key"
    file.write_text("old-key-of-sixteen-characters")
    rotating = make_profiler(api_key=None, api_key_file=str(file))
    sidecar.script.append(answer(401))
    rotating.record("a", 0.1)
    assert wait_until(lambda: rotating.stats().connected is False)

    file.write_text("new-key-of-sixteen-characters")
    engine = rotating._state().engine
    assert engine is not None
    pace = engine._pipeline._delivery.pace
    pace.due_at = pace._not_before = 0.0  # the slow retry is due

    assert rotating.flush(DEADLINE_SECONDS)
    assert ["old-key-of-sixteen-characters", "new-key-of-sixteen-characters"] == [
        request.headers[KEY_HEADER] for request in sidecar.requests
    ]


def test_an_outage_is_said_once_and_loses_nothing(make_profiler: MakeProfiler, said: Callable[[], list[str]]) -> None:
    """While the sidecar is away everything is kept; its going and its coming back are one line each."""
    with serve(ScriptedSidecar()) as sidecar:
        port = int(sidecar.url.rsplit(":", 1)[1])
    patient = make_profiler(url=sidecar.url)
    for _ in range(3):
        patient.record("a", 0.1)
        assert not patient.flush(0.1)
    assert (False, 3) == (patient.stats().connected, patient.stats().buffered)

    with serve(sidecar, port=port):
        assert wait_until(lambda: patient.flush(0.5))
        assert {"a": 3} == sidecar.calls
        patient.close(DEADLINE_SECONDS)
    away, back = said()
    assert "is away" in away
    assert "is back" in back


def test_recording_goes_on_beside_a_frozen_sidecar(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """While a request hangs, samples are still folded, buffers stay small, and all arrives in the end."""
    gate = Gate()
    sidecar.script.append(gate)
    profiler.record("a", 0.1)
    assert gate.reached.wait(DEADLINE_SECONDS)

    for _ in range(100_000):
        profiler.record("a", 0.1)
    engine = profiler._state().engine
    assert engine is not None
    assert wait_until(lambda: engine.registry.waiting() < 1024)
    stats = profiler.stats()
    assert 100_001 == stats.recorded == stats.buffered
    assert stats.connected is None  # the first request still hangs

    gate.opened.set()
    assert wait_until(lambda: profiler.flush(0.5))
    assert {"a": 100_001} == sidecar.calls


def test_flush_gives_up_in_time(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """A flush returns at its deadline, whatever the sidecar does, and says that not all has arrived."""
    gate = Gate()
    sidecar.script.append(gate)
    profiler.record("a", 0.1)

    assert not profiler.flush(0.1)
    assert not profiler.close(0.1)
    gate.opened.set()


def test_flush_from_the_flush_thread_does_not_wait(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """A log handler that flushes, run by the flush thread itself, is answered at once."""
    flushed: list[bool] = []
    for_ever = 1e6

    class Flushing(logging.Handler):
        def emit(self, _record: logging.LogRecord) -> None:
            flushed.append(profiler.flush(for_ever) or profiler.close(for_ever))

    logger, handler = logging.getLogger("chronoprof_sidecar.client.notices"), Flushing()
    logger.addHandler(handler)
    try:
        sidecar.script.append(answer(500))
        profiler.record("a", 0.1)
        assert wait_until(lambda: bool(flushed))
    finally:
        logger.removeHandler(handler)
    assert not flushed[0]


def test_close_says_farewell_and_recording_begins_anew(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Closing sends what is left as the last batch; a sample recorded afterwards still arrives."""
    profiler.record("a", 0.1)
    assert profiler.close(DEADLINE_SECONDS)
    assert ({"a": 1}, 1) == (sidecar.calls, sidecar.finals)

    profiler.record("a", 0.1)
    assert profiler.flush(DEADLINE_SECONDS)
    assert {"a": 2} == sidecar.calls


def test_many_functions_are_sent_in_parts(profiler: Profiler, sidecar: ScriptedSidecar) -> None:
    """Thousands of functions are flushed as a whole, in as many requests as it takes."""
    for i in range(9000):
        profiler.record(f"shop.module.with.a.rather.long.name.function_{i}", 0.001 * i)

    assert profiler.flush(DEADLINE_SECONDS)
    assert 9000 == len(sidecar.calls)
    assert 1 < len(sidecar.requests)


def test_who_sends(make_profiler: MakeProfiler, sidecar: ScriptedSidecar) -> None:
    """A batch names service, version and instance."""
    named = make_profiler(service="shop", version="1.2")
    named.record("a", 0.1)
    assert named.flush(DEADLINE_SECONDS)

    body = sidecar.requests[0].body
    assert ("shop", "1.2") == (body["service"], body["version"])
    assert ":" in body["instance"]
