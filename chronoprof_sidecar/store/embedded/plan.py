"""The plan of one commit: what the counting rule and the table's bound say of each batch, before anything changes.

A plan is an overlay over memory. Once its entries are durable they are counted and the answers given; when the commit
fails, the plan is thrown away and nothing happened.
"""

from chronoprof_sidecar.domain.batch import Batch, Outcome
from chronoprof_sidecar.domain.senders import Sender, advance, answer_counted
from chronoprof_sidecar.domain.table import Admission
from chronoprof_sidecar.errors import ChronoprofError
from chronoprof_sidecar.store.embedded.memory import Memory
from chronoprof_sidecar.store.embedded.records import Entry

Answer = Outcome | ChronoprofError


class Plan:
    """Judges batches in order of arrival, each as if those before it were counted already."""

    def __init__(self, memory: Memory, max_functions: int, arrived_ns: int, service_minute: int) -> None:
        self.entries: list[Entry] = []
        """What the journal must hold before any answer may be given."""
        self._memory = memory
        self._admission = Admission(memory.window, max_functions, memory.losses)
        self._arrived_ns = arrived_ns
        self._service_minute = service_minute
        self._senders: dict[str, Sender] = {}
        self._newcomers = 0

    def judge(self, batch: Batch) -> Answer:
        """Return what `batch` is answered once the plan's entries are durable."""
        try:
            return self._judge(batch)
        except ChronoprofError as error:
            return error

    def _judge(self, batch: Batch) -> Outcome:
        client = batch.client
        if client is None:
            self._enter(batch, None)
            return Outcome(batch.calls, batch.rejected_items, batch.errors, None, duplicate=False)
        known = self._senders.get(client.id) or self._memory.senders.get(client.id)
        counted = answer_counted(known, client, batch.digest)
        if counted is not None:
            return counted
        if known is None:
            self._make_room()
        sender = advance(known, client, batch, self._arrived_ns, self._service_minute)
        self._senders[client.id] = sender
        self._enter(batch, sender)
        return Outcome(batch.calls, batch.rejected_items, batch.errors, client, duplicate=False)

    def _enter(self, batch: Batch, sender: Sender | None) -> None:
        lsn = self._memory.lsn + len(self.entries) + 1
        placement = self._admission.place(batch)
        self.entries.append(
            Entry(lsn, self._arrived_ns, self._memory.generation, self._service_minute, placement, batch, sender)
        )

    def _make_room(self) -> None:
        evicted = self._memory.senders.make_room(self._newcomers + 1, self._service_minute)
        self._memory.forget(evicted)
        self._newcomers += 1
