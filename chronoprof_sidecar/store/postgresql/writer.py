"""The writer of one replica: takes jobs in order of arrival, and up to 256 batches that wait at a time.

While the database is away it takes nothing: it asks again until a write is on the quorum, and goes on.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.errors import ChronoprofError, UnavailableError
from chronoprof_sidecar.store.postgresql.link import RETRY_AFTER_SECONDS
from chronoprof_sidecar.store.postgresql.locks import cut_off_silent
from chronoprof_sidecar.store.postgresql.merging import COMMIT_SECONDS, Merger
from chronoprof_sidecar.store.postgresql.plan import Answer
from chronoprof_sidecar.store.queue import ChangeJob, IngestJob, JobQueue

BATCHES_PER_COMMIT: Final = 256
COMMIT_BYTES: Final = 1024 * 1024
"""Enough for hundreds of batches, little enough that merging them holds up the event loop for 40 ms."""
_PROBE_EVERY_SECONDS: Final = 1.0


class Writer:
    """Serves the queue until it refuses and is empty."""

    def __init__(self, queue: JobQueue, merger: Merger) -> None:
        self._queue = queue
        self._merger = merger

    def refuse_while_away(self) -> None:
        """Refuse what would have to wait for a database that is away.

        Raises:
            UnavailableError: it is, or has no quorum.
        """
        if self._merger.link.away is not None:
            raise UnavailableError(self._merger.link.away, RETRY_AFTER_SECONDS)

    async def run(self) -> None:
        """Serve jobs."""
        while len(self._queue) or self._queue.refusal is None:
            away = self._merger.link.away
            await self._queue.wait(None if away is None else _PROBE_EVERY_SECONDS)
            job = self._queue.take(COMMIT_BYTES, BATCHES_PER_COMMIT)
            if isinstance(job, ChangeJob):
                await self._change(job)
            elif job:
                await self._count(job)
            elif away is not None and self._queue.refusal is None:
                await self._probe()

    async def _count(self, jobs: Sequence[IngestJob]) -> None:
        try:
            answers = await self._answer([job.batch for job in jobs])
        except BaseException:
            for job in jobs:
                _give(job.outcome, UnavailableError("the sidecar lost its store and restarts"))
            raise
        for job, answer in zip(jobs, answers, strict=True):
            _give(job.outcome, answer)

    async def _answer(self, batches: Sequence[Batch]) -> Sequence[Answer]:
        try:
            self.refuse_while_away()
            return await self._merger.count(batches)
        except UnavailableError as error:
            # Each its own: whoever waits for one adds to its traceback.
            return [UnavailableError(str(error), error.retry_after_seconds) for _ in batches]

    async def _change(self, job: ChangeJob) -> None:
        try:
            self.refuse_while_away()
            result = await job.change()
        except ChronoprofError as error:
            _give(job.result, error)
        except BaseException:
            _give(job.result, UnavailableError("the sidecar lost its store and restarts"))
            raise
        else:
            _give(job.result, result)

    async def _probe(self) -> None:
        """Try to write: a server that only lacks its quorum answers whoever only reads."""
        try:
            async with self._merger.link.transaction(COMMIT_SECONDS) as connection:
                await cut_off_silent(connection)
                await connection.execute("UPDATE service_time SET minute = minute")
        except UnavailableError:
            return  # the link has told it


def _give(waiting: asyncio.Future[Any], answer: object) -> None:
    if waiting.done():
        return  # whoever asked went away; what was done is done all the same
    if isinstance(answer, ChronoprofError):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)
