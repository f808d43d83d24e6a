"""Threads of their own for calls that wait for the disk, and what each of them alone uses.

Instead of a ThreadPoolExecutor: of that one's features a single thread needs none, and a call through it took twice as
long, 57 µs of CPU against 26, which every commit pays.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Closable(Protocol):
    """What has to be closed in the end."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Worker:
    """Runs calls one after the other in one thread."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._closed = False
        # A process that dies without closing must not wait for it: whatever it writes survives a kill.
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in the thread, and return or raise what it does.

        A call is always made and finished: being cancelled here only stops the waiting for it.
        """
        if self._closed:
            raise RuntimeError("the thread has ended")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._calls.put(partial(_answer, loop, answer, partial(call, *args, **kwargs)))
        return await answer

    def close(self) -> None:
        """Finish the calls that wait, and end the thread."""
        self._closed = True
        self._calls.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # or what it holds would live until the next one comes


class Confined(Generic[C]):
    """Something that one thread alone uses, and that thread."""

    def __init__(self, thing: C, thread: Worker) -> None:
        self.thing = thing
        """The thing itself, for what any thread may ask of it."""
        self._thread = thread

    def run(self, call: Callable[Concatenate[C, P], T], *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Run `call` on it in its thread; see `Worker.run`."""
        return self._thread.run(call, self.thing, *args, **kwargs)

    async def close(self) -> None:
        """Finish the calls that wait, close it, and end its thread."""
        await self._thread.run(self.thing.close)
        self._thread.close()


def _answer(loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[T]", call: Callable[[], T]) -> None:
    try:
        give: partial[None] = partial(answer.set_result, call())
    except BaseException as error:  # noqa: BLE001  whatever it is, it belongs to whoever waits
        give = partial(answer.set_exception, error)
    try:
        loop.call_soon_threadsafe(_give, answer, give)
    except RuntimeError:
        return  # the loop has been closed: nobody waits any more


def _give(answer: "asyncio.Future[Any]", give: Callable[[], None]) -> None:
    if not answer.done():  # else whoever waited was cancelled
        give()
