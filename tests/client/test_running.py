import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from chronoprof_sidecar.client import running
from chronoprof_sidecar.client.running import Meter


class Clock:
    """A clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that meters read."""
    stopped = Clock()
    monkeypatch.setattr(running, "perf_counter", stopped)
    return stopped


class Suspend:
    """Gives way to the event loop once, and returns what is sent in."""

    def __await__(self) -> Generator[str, Any, Any]:
        return (yield "suspended")


def drive(meter: Meter, awaitable: Awaitable[Any]) -> Generator[Any, Any, Any]:
    return meter.run(awaitable)


def test_running_is_counted_and_waiting_is_not(clock: Clock) -> None:
    """Time between two suspensions counts, also in a coroutine that is awaited; time spent suspended does not."""

    async def inner() -> None:
        clock.now += 2.0
        await Suspend()
        clock.now += 3.0

    async def outer() -> str:
        clock.now += 1.0
        await inner()
        clock.now += 4.0
        return "result"

    meter = Meter()
    steps = drive(meter, outer())
    assert "suspended" == steps.send(None)
    clock.now += 100.0

    with pytest.raises(StopIteration, match="result"):
        steps.send(None)

    assert 10.0 == meter.seconds


def test_values_and_exceptions_pass_through(clock: Clock) -> None:
    """What the event loop sends or throws reaches the coroutine, and what it raises comes out, its time counted."""
    received: list[Any] = []

    async def listen() -> None:
        received.append(await Suspend())
        try:
            await Suspend()
        except KeyError as error:
            received.append(error)
        clock.now += 1.0
        raise ValueError("out")

    meter = Meter()
    steps = drive(meter, listen())
    steps.send(None)
    steps.send("in")
    thrown = KeyError("thrown")
    with pytest.raises(ValueError, match="out"):
        steps.throw(thrown)

    assert ["in", thrown] == received
    assert 1.0 == meter.seconds


def test_closing_runs_the_clean_up(clock: Clock) -> None:
    """A coroutine that is closed in the middle cleans up, and the time of that counts."""

    async def careful() -> None:
        try:
            await Suspend()
        finally:
            clock.now += 5.0

    meter = Meter()
    steps = drive(meter, careful())
    steps.send(None)
    steps.close()

    assert 5.0 == meter.seconds


@pytest.mark.parametrize("make", [asyncio.sleep, lambda delay: asyncio.gather(asyncio.sleep(delay))])
async def test_any_awaitable(make: Callable[[float], Awaitable[Any]]) -> None:
    """Coroutines and futures alike can be metered."""
    meter = Meter()

    async def main() -> None:
        await meter.run(make(0.0))

    await main()
    assert meter.seconds > 0.0
