"""Who ships, and the rule that counts every batch of theirs once.

Owns the counting rule and how long a sender is remembered. Memory is measured in *service minutes*, minutes that the
sidecar ran, so neither a stopped sidecar nor a jumping clock makes it forget.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from chronoprof_sidecar.domain.batch import Batch, ItemError, Outcome, SequenceId
from chronoprof_sidecar.errors import SequenceGapError, SequenceReusedError, UnavailableError

REMEMBERED_MINUTES: Final = 7 * 24 * 60
"""A sender that went silent; longer than any retry of the shim, which gives up after 24 h."""
REMEMBERED_ENDED_MINUTES: Final = 60
"""A sender that said its batch was the last."""
EVICTABLE_AFTER_MINUTES: Final = 2 * 24 * 60
"""When room is short, a sender silent for this long may make it."""


class Sender(NamedTuple):
    """One process that ships, as of its last counted batch."""

    id: str
    seq: int
    digest: bytes
    accepted: int
    """Calls that the last batch added; with the next two, what a repeat of it is answered."""
    rejected_items: int
    errors: tuple[ItemError, ...]
    service: str
    version: str
    instance: str
    first_batch_ns: int
    last_batch_ns: int
    calls: int
    dropped: int
    rejected: int
    unknown: int
    final: bool
    active_minute: int
    """Service minute of the last counted batch."""


class Verdict(Enum):
    """What the counting rule says of a batch."""

    NEW = "count it"
    REPEAT = "answer as the first time"
    OLD = "counted long ago; its answer is forgotten"


def judge(sender: Sender | None, client: SequenceId, digest: bytes) -> Verdict:
    """Apply the counting rule to a batch of `client` whose last counted batch is `sender`'s.

    Raises:
        SequenceGapError: a batch is missing in between, or the sender is unknown and this is not its first batch.
        SequenceReusedError: this number was used for another body.
    """
    last = sender.seq if sender else 0
    if client.seq == last + 1:
        return Verdict.NEW
    if sender is None:
        raise SequenceGapError(f"client.id is unknown here, so client.seq must be 1, not {client.seq}")
    if client.seq > last:
        raise SequenceGapError(f"client.seq must be {last + 1}, not {client.seq}")
    if client.seq < last:
        return Verdict.OLD
    if digest != sender.digest:
        raise SequenceReusedError(f"client.seq {client.seq} was used for another body")
    return Verdict.REPEAT


def answer_counted(sender: Sender | None, client: SequenceId, digest: bytes) -> Outcome | None:
    """Return what a batch that was counted before is answered; None where it is new and to be counted.

    Raises:
        SequenceGapError, SequenceReusedError: as `judge`.
    """
    verdict = judge(sender, client, digest)
    if verdict is Verdict.OLD:
        return Outcome(None, 0, (), client, duplicate=True)
    if verdict is Verdict.REPEAT and sender:
        return Outcome(sender.accepted, sender.rejected_items, sender.errors, client, duplicate=True)
    return None


def advance(sender: Sender | None, client: SequenceId, batch: Batch, arrived_ns: int, minute: int) -> Sender:
    """Return what is remembered of `client` once `batch` is counted; `sender` is what was remembered before it."""
    accepted = batch.calls
    return Sender(
        id=client.id,
        seq=client.seq,
        digest=batch.digest,
        accepted=accepted,
        rejected_items=batch.rejected_items,
        errors=tuple(batch.errors),
        service=batch.labels.service,
        version=batch.labels.version,
        instance=batch.instance,
        first_batch_ns=min(sender.first_batch_ns, arrived_ns) if sender else arrived_ns,
        last_batch_ns=arrived_ns,
        calls=accepted + (sender.calls if sender else 0),
        dropped=batch.dropped + (sender.dropped if sender else 0),
        rejected=batch.rejected + (sender.rejected if sender else 0),
        unknown=batch.unknown + (sender.unknown if sender else 0),
        final=batch.final,
        active_minute=minute,
    )


class Senders:
    """All remembered senders: those that may go on, then those that ended, of each those silent longest first."""

    def __init__(self, max_senders: int) -> None:
        self._max = max_senders
        self._active: dict[str, Sender] = {}
        self._ended: dict[str, Sender] = {}

    def __len__(self) -> int:
        return len(self._active) + len(self._ended)

    def __iter__(self) -> Iterator[Sender]:
        yield from self._active.values()
        yield from self._ended.values()

    def get(self, sender_id: str) -> Sender | None:
        """Return what is remembered of one sender."""
        return self._active.get(sender_id) or self._ended.get(sender_id)

    def put(self, sender: Sender) -> None:
        """Remember a sender's newest state."""
        self._active.pop(sender.id, None)
        self._ended.pop(sender.id, None)
        (self._ended if sender.final else self._active)[sender.id] = sender

    def forget(self, minute: int) -> list[str]:
        """Forget who was silent too long at service minute `minute`, and return their ids."""
        gone = _silent_since(self._active, minute - REMEMBERED_MINUTES)
        gone += _silent_since(self._ended, minute - REMEMBERED_ENDED_MINUTES)
        for sender_id in gone:
            self._active.pop(sender_id, None)
            self._ended.pop(sender_id, None)
        return gone

    def make_room(self, newcomers: int, minute: int) -> list[str]:
        """Make room for so many unknown senders, and return the ids that were forgotten for it.

        Raises:
            UnavailableError: too few have been silent long enough.
        """
        excess = len(self) + newcomers - self._max
        if excess <= 0:
            return []
        silent = _silent_since(self._ended, minute - EVICTABLE_AFTER_MINUTES)
        silent += _silent_since(self._active, minute - EVICTABLE_AFTER_MINUTES)
        if len(silent) < excess:
            raise UnavailableError(f"more than {self._max} senders (CHRONOPROF_MAX_SENDERS)", retry_after_seconds=60)
        for sender_id in silent[:excess]:
            self._active.pop(sender_id, None)
            self._ended.pop(sender_id, None)
        return silent[:excess]


def _silent_since(senders: dict[str, Sender], minute: int) -> list[str]:
    """Return the ids at the front of `senders`, which is ordered by activity, that were last active by `minute`."""
    silent: list[str] = []
    for sender in senders.values():
        if sender.active_minute > minute:
            break
        silent.append(sender.id)
    return silent
