"""The plan of one transaction: what the counting rule says of each batch, before anything is counted."""

from collections.abc import Mapping

from chronoprof_sidecar.domain.batch import Batch, Outcome
from chronoprof_sidecar.domain.senders import Sender, advance, answer_counted
from chronoprof_sidecar.errors import ChronoprofError, UnavailableError

Answer = Outcome | ChronoprofError


class Plan:
    """Judges batches in order of arrival, each as if those before it were counted already."""

    def __init__(self, known: Mapping[str, Sender], room: int, arrived_ns: int, service_minute: int) -> None:
        """Begin with what is known.

        Args:
            known: the senders of all batches to come, those that are known.
            room: how many unknown ones may become known.
            arrived_ns: when the batches arrived.
            service_minute: of that moment.
        """
        self.counted: list[Batch] = []
        """What is to be counted before any answer may be given."""
        self.senders: dict[str, Sender] = {}
        """What senders become by it."""
        self._known = known
        self._room = room
        self._arrived_ns = arrived_ns
        self._service_minute = service_minute

    def judge(self, batch: Batch) -> Answer:
        """Return what `batch` is answered once the transaction is committed."""
        try:
            return self._judge(batch)
        except ChronoprofError as error:
            return error

    def _judge(self, batch: Batch) -> Outcome:
        client = batch.client
        if client is not None:
            known = self.senders.get(client.id) or self._known.get(client.id)
            counted = answer_counted(known, client, batch.digest)
            if counted is not None:
                return counted
            if known is None:
                self._take_room()
            self.senders[client.id] = advance(known, client, batch, self._arrived_ns, self._service_minute)
        self.counted.append(batch)
        return Outcome(batch.calls, batch.rejected_items, batch.errors, client, duplicate=False)

    def _take_room(self) -> None:
        if not self._room:
            raise UnavailableError("there are too many senders (CHRONOPROF_MAX_SENDERS)", retry_after_seconds=60)
        self._room -= 1
