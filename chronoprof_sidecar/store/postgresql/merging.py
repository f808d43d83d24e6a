"""Counting batches: the claim of their senders, the merge and the answers, in one transaction.

    commit refused, or lost on the way   nothing happened, or all of it: nobody knows, senders repeat the batches
    commit acknowledged                  a quorum has it; answers may be given

Locks are taken in one order by all replicas: window, senders by id, their count, list of rows, minute, rows by name.
"""

from collections.abc import Callable, Sequence
from typing import Final

from asyncpg import Connection

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.domain.history import MINUTE_NS
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.table import Placement, Table
from chronoprof_sidecar.store.clocks import ServiceClock
from chronoprof_sidecar.store.counting import losses_of
from chronoprof_sidecar.store.overflow import OverflowLog
from chronoprof_sidecar.store.postgresql.admission import Doorkeeper
from chronoprof_sidecar.store.postgresql.link import Link
from chronoprof_sidecar.store.postgresql.locks import take_shard
from chronoprof_sidecar.store.postgresql.plan import Answer, Plan
from chronoprof_sidecar.store.postgresql.rows import MINUTE, add_losses, add_rows
from chronoprof_sidecar.store.postgresql.senders import claim, make_room, remember

COMMIT_SECONDS: Final = 5.0
"""Half of what the shim waits for an answer: it is told that the quorum is away, and does not have to guess."""


class Merger:
    """Counts what one replica was sent."""

    def __init__(  # noqa: PLR0913  what it counts into, two bounds and two clocks
        self,
        dsn: str,
        *,
        max_functions: int,
        max_senders: int,
        overflow_log: OverflowLog,
        clock_ns: Callable[[], int],
        service_clock: ServiceClock,
    ) -> None:
        self.link = Link(dsn, name="ingest", prepare=self._take_shard)
        self._doorkeeper = Doorkeeper(max_functions)
        self._max_senders = max_senders
        self._overflow_log = overflow_log
        self._clock_ns = clock_ns
        self._service_clock = service_clock
        self._shard = 0

    async def count(self, batches: Sequence[Batch]) -> list[Answer]:
        """Count batches that arrived now, and return what each is answered: all of it is durable.

        Raises:
            UnavailableError: as `Link.transaction`.
        """
        arrived_ns = self._clock_ns()
        async with self.link.transaction(COMMIT_SECONDS) as connection:
            generation: int = await connection.fetchval("SELECT generation FROM current_window FOR SHARE")
            plan, answers = await self._judge(connection, batches, arrived_ns)
            placements = await self._doorkeeper.place(connection, generation, plan.counted)
            minute = arrived_ns // MINUTE_NS
            if plan.counted:
                await _keep(connection, minute)
            delta, losses = _merge(plan.counted, placements, arrived_ns)
            await add_rows(connection, generation, minute, self._shard, delta)
            await add_losses(connection, generation, minute, self._shard, losses)
        self._overflow_log.note(placements)
        return answers

    async def _judge(
        self, connection: Connection, batches: Sequence[Batch], arrived_ns: int
    ) -> tuple[Plan, list[Answer]]:
        """Apply the counting rule, and write what senders become by it."""
        ids = {batch.client.id for batch in batches if batch.client}
        known = await claim(connection, ids)
        unknown = ids - known.keys()
        firsts = {batch.client.id for batch in batches if batch.client and batch.client.seq == 1} & unknown
        minute = self._service_clock.minute()
        room = await make_room(connection, ids, len(unknown), len(firsts), limit=self._max_senders, minute=minute)
        plan = Plan(known, room, arrived_ns, minute)
        answers = [plan.judge(batch) for batch in batches]
        await remember(connection, plan.senders, ids)
        return plan, answers

    async def _take_shard(self, connection: Connection) -> None:
        self._shard = await take_shard(connection)


async def _keep(connection: Connection, minute: int) -> None:
    """Have the history keep a minute, and nobody move it to its hour before the transaction ends."""
    values = (MINUTE, minute)
    look = "SELECT true FROM stretches WHERE kind = $1 AND number = $2 FOR KEY SHARE"
    while not await connection.fetchval(look, *values):
        await connection.execute(
            "INSERT INTO stretches (kind, number, first_minute, end_minute)"
            " VALUES ($1, $2::bigint, $2::bigint, $2::bigint + 1) ON CONFLICT DO NOTHING",
            *values,
        )


def _merge(
    batches: Sequence[Batch], placements: Sequence[Placement], arrived_ns: int
) -> tuple[Table, dict[str, Losses]]:
    """Return what batches add together: rows, and loss figures per service."""
    delta = Table()
    losses: dict[str, Losses] = {}
    for batch, placement in zip(batches, placements, strict=True):
        delta.count(placement, batch.items, arrived_ns)
        lost = losses_of(batch, placement)
        if lost is not None:
            losses.setdefault(placement.labels.service, Losses()).merge(lost)
    return delta, losses
