import asyncio
import threading
from collections.abc import Iterator

import pytest

from chronoprof_sidecar.store.embedded.threads import Confined, Worker

DEADLINE_SECONDS = 10.0


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A thread that ends with the test."""
    worker = Worker("test-worker")
    yield worker
    worker.close()


async def test_calls_are_made_in_order_in_one_thread_of_their_own(worker: Worker) -> None:
    """Calls run one after the other in the order they were asked for, none of them in the caller's thread."""
    made: list[int] = []
    names = await asyncio.gather(*(worker.run(_note, made, number=each) for each in range(20)))
    assert list(range(20)) == made
    assert {"test-worker"} == set(names)


async def test_what_a_call_raises_reaches_its_caller_alone(worker: Worker) -> None:
    """An exception is the caller's, of whatever kind, and the thread serves on."""
    with pytest.raises(ZeroDivisionError):
        await worker.run(divmod, 1, 0)
    with pytest.raises(asyncio.CancelledError):
        await worker.run(_cancel)
    assert (2, 1) == await worker.run(divmod, 7, 3)


async def test_a_call_is_made_even_if_nobody_waits_any_more(worker: Worker) -> None:
    """Being cancelled stops the waiting alone: the call under way and the one behind it are both made."""
    begun, goes_on = threading.Event(), threading.Event()
    made: list[int] = []

    def stand() -> None:
        begun.set()
        assert goes_on.wait(DEADLINE_SECONDS)
        made.append(1)

    waiting = [asyncio.create_task(worker.run(stand)), asyncio.create_task(worker.run(made.append, 2))]
    assert await asyncio.to_thread(begun.wait, DEADLINE_SECONDS)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    goes_on.set()
    await worker.run(made.append, 3)
    assert [True, True] == [task.cancelled() for task in waiting]
    assert [1, 2, 3] == made


class Diary:
    """Notes who does what to it."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str]] = []

    def note(self, what: str) -> None:
        """Note something, and the thread that it is done in."""
        self.entries.append((what, threading.current_thread().name))

    def close(self) -> None:
        """Note the end."""
        self.note("closed")


async def test_what_is_confined_is_used_in_its_thread_alone() -> None:
    """Calls are given the thing in its own thread, and so is its end, after all that were asked for before."""
    diary = Diary()
    confined = Confined(diary, Worker("test-worker"))
    noting = asyncio.gather(*(confined.run(Diary.note, what) for what in "ab"))
    await asyncio.sleep(0)  # both stand in the queue
    await confined.close()
    await noting
    assert [(what, "test-worker") for what in ("a", "b", "closed")] == diary.entries
    with pytest.raises(RuntimeError, match="has ended"):
        await confined.run(Diary.note, "c")


async def test_closing_finishes_what_waits_and_refuses_what_comes() -> None:
    """Calls asked for before the end are answered; one that comes later is refused instead of never answered."""
    worker = Worker("test-worker")
    made: list[int] = []
    waiting = [asyncio.create_task(worker.run(made.append, each)) for each in range(5)]
    await asyncio.sleep(0)
    worker.close()
    await asyncio.gather(*waiting)
    assert list(range(5)) == made
    with pytest.raises(RuntimeError, match="ended"):
        await worker.run(made.append, 5)


def test_a_closed_loop_harms_no_thread() -> None:
    """A call whose loop ended meanwhile is made all the same, and the thread serves the next loop."""
    worker = Worker("test-worker")
    begun, goes_on = threading.Event(), threading.Event()

    def stand() -> None:
        begun.set()
        assert goes_on.wait(DEADLINE_SECONDS)

    async def leave_it_standing() -> None:
        task = asyncio.create_task(worker.run(stand))
        await asyncio.to_thread(begun.wait, DEADLINE_SECONDS)
        task.cancel()

    asyncio.run(leave_it_standing())
    goes_on.set()
    assert (2, 1) == asyncio.run(worker.run(divmod, 7, 3))
    worker.close()


def _note(made: list[int], *, number: int) -> str:
    made.append(number)
    return threading.current_thread().name


def _cancel() -> None:
    raise asyncio.CancelledError
