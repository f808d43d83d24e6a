"""A thread of its own for calls that wait for the disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Runs calls one after the other in one thread."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in the thread, and return or raise what it does.

        A call that has begun is always finished: being cancelled here only stops the waiting for it.
        """
        if kwargs:
            return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: call(*args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._executor, call, *args)

    def close(self) -> None:
        """Finish the calls that wait, and end the thread."""
        self._executor.shutdown(wait=True)
