"""The writer: the one task that changes the store.

It takes jobs in order of arrival. All batches that wait are judged, journaled and committed together, then counted in
memory, then answered; waiting longer for more was measured not to pay. Between commits it writes slices of a
checkpoint. SQLite runs in a thread of its own, so the event loop goes on while a commit waits for the disk.

    crash before the commit   nothing happened; senders repeat the batches
    crash after the commit    the batches are counted; senders repeat them and are told so
"""

from collections.abc import Sequence
from typing import Final

from chronoprof_sidecar.domain.batch import Outcome
from chronoprof_sidecar.errors import ChronoprofError, UnavailableError
from chronoprof_sidecar.store.clocks import Clocks
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.memory import Memory
from chronoprof_sidecar.store.embedded.plan import Answer, Plan
from chronoprof_sidecar.store.embedded.records import Entry, encode_entry
from chronoprof_sidecar.store.embedded.threads import Confined
from chronoprof_sidecar.store.embedded.upkeep import Upkeep
from chronoprof_sidecar.store.overflow import OverflowLog
from chronoprof_sidecar.store.queue import ChangeJob, IngestJob, JobQueue

COMMIT_BYTES: Final = 1024 * 1024
"""Batches of one commit: enough for hundreds, little enough that counting them holds up the event loop for 40 ms."""


class Writer:
    """Serves the queue until it refuses and is empty."""

    def __init__(  # noqa: PLR0913  the one place where all of the store's parts meet
        self,
        *,
        queue: JobQueue,
        memory: Memory,
        database: Confined[Database],
        upkeep: Upkeep,
        overflow_log: OverflowLog,
        max_functions: int,
        clocks: Clocks,
    ) -> None:
        self._queue = queue
        self._memory = memory
        self._database = database
        self._upkeep = upkeep
        self._overflow_log = overflow_log
        self._max_functions = max_functions
        self._clocks = clocks

    async def run(self) -> None:
        """Serve jobs, and write checkpoints between them.

        Raises:
            UnknownOutcomeError: a commit may or may not have happened; memory no longer says what is on disk.
        """
        while len(self._queue) or self._queue.refusal is None:
            await self._queue.wait(self._upkeep.due_in_seconds())
            job = self._queue.take(COMMIT_BYTES)
            if isinstance(job, ChangeJob):
                await self._change(job)
            elif job:
                await self._commit(job)
            await self._upkeep.step()
        await self._upkeep.finish()

    async def _commit(self, jobs: Sequence[IngestJob]) -> None:
        plan = Plan(self._memory, self._max_functions, self._clocks.wall_ns(), self._clocks.service.minute())
        answers = [plan.judge(job.batch) for job in jobs]
        try:
            if plan.entries:
                size_bytes = await self._database.run(_journal, plan.entries)
                self._upkeep.note_journaled(size_bytes)
        except UnavailableError as error:
            # Nothing was written. Even a refusal may rest on a batch of this plan, so all are asked to come again.
            answers = [UnavailableError(str(error), error.retry_after_seconds) for _ in jobs]
        except BaseException:
            _give_all(jobs, [UnavailableError("the sidecar lost its store and restarts") for _ in jobs])
            raise
        else:
            for entry in plan.entries:
                self._memory.count(entry)
            self._overflow_log.note(entry.placement for entry in plan.entries)
        _give_all(jobs, answers)

    async def _change(self, job: ChangeJob) -> None:
        try:
            result = await job.change()
        except ChronoprofError as error:
            if not job.result.done():
                job.result.set_exception(error)
        except BaseException:
            if not job.result.done():
                job.result.set_exception(UnavailableError("the sidecar lost its store and restarts"))
            raise
        else:
            if not job.result.done():
                job.result.set_result(result)


def _journal(database: Database, entries: Sequence[Entry]) -> int:
    """Make entries durable, and return their size in bytes."""
    records = [(entry.lsn, encode_entry(entry)) for entry in entries]
    with database.transaction():
        database.append_journal(records)
    return sum(len(record) for _, record in records)


def _give_all(jobs: Sequence[IngestJob], answers: Sequence[Answer]) -> None:
    for job, answer in zip(jobs, answers, strict=True):
        if job.outcome.done():
            continue  # whoever asked went away; the batch is counted all the same
        if isinstance(answer, Outcome):
            job.outcome.set_result(answer)
        else:
            job.outcome.set_exception(answer)
