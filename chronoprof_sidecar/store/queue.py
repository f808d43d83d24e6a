"""The queue before the writer: everything that changes the store, in order of arrival, bounded in bytes."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from chronoprof_sidecar.domain.batch import Batch, Outcome
from chronoprof_sidecar.errors import UnavailableError


@dataclass(frozen=True, slots=True)
class IngestJob:
    """A batch that waits to be counted."""

    batch: Batch
    outcome: asyncio.Future[Outcome]


@dataclass(frozen=True, slots=True)
class ChangeJob:
    """A reset or rotate that waits for its turn; it runs alone."""

    change: Callable[[], Awaitable[Any]]
    result: asyncio.Future[Any]


Job = IngestJob | ChangeJob


class JobQueue:
    """Jobs in order of arrival."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._jobs: deque[Job] = deque()
        self._arrival = asyncio.Event()
        self.refusal: str | None = None
        """Why no more jobs are taken; None while they are."""

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def size_bytes(self) -> int:
        """Bodies that wait."""
        return self._bytes

    def put(self, job: Job) -> None:
        """Add a job.

        Raises:
            UnavailableError: no more jobs are taken, or the queue is full.
        """
        self.refuse_when_closed()
        size = len(job.batch.body) if isinstance(job, IngestJob) else 0
        if self._jobs and self._bytes + size > self._max_bytes:
            raise UnavailableError("too many batches are waiting (CHRONOPROF_MAX_QUEUE_BYTES)")
        self._bytes += size
        self._jobs.append(job)
        self._arrival.set()

    async def run(self, change: Callable[[], Awaitable[Any]]) -> Any:
        """Have the writer make a change in its turn, and return or raise what that does.

        Raises:
            UnavailableError: no more jobs are taken, or the writer has failed.
        """
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.put(ChangeJob(change, result))
        return await result

    def wake(self) -> None:
        """Have `wait` return without a job: what it is to wait for may have changed."""
        self._arrival.set()

    def refuse(self, reason: str) -> None:
        """Take no more jobs; those taken stay."""
        self.refusal = self.refusal or reason
        self._arrival.set()

    def refuse_when_closed(self) -> None:
        """Refuse what must not begin once no more jobs are taken.

        Raises:
            UnavailableError: no more jobs are taken.
        """
        if self.refusal is not None:
            raise UnavailableError(self.refusal)

    def fail(self, reason: str) -> None:
        """Take no more jobs, and answer those that wait with UnavailableError: nobody will serve them."""
        self.refusal = reason
        while self._jobs:
            job = self._jobs.popleft()
            answer = job.outcome if isinstance(job, IngestJob) else job.result
            if not answer.done():
                answer.set_exception(UnavailableError(reason))

    async def wait(self, timeout_seconds: float | None) -> None:
        """Return when there is a job or no more are taken, at the latest after `timeout_seconds`."""
        if self._jobs or self.refusal is not None:
            return
        self._arrival.clear()
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._arrival.wait()
        except TimeoutError:
            return

    def take(self, max_bytes: int, max_batches: int | None = None) -> list[IngestJob] | ChangeJob | None:
        """Take the next change, or all batches that wait before one, about `max_bytes` of them at most."""
        if not self._jobs:
            return None
        first = self._jobs[0]
        if isinstance(first, ChangeJob):
            self._jobs.popleft()
            return first
        taken: list[IngestJob] = []
        size = 0
        while self._jobs and size < max_bytes and isinstance(job := self._jobs[0], IngestJob):
            if len(taken) == max_batches:
                break
            self._jobs.popleft()
            taken.append(job)
            size += len(job.batch.body)
        self._bytes -= size
        return taken
