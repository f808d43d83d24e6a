"""All that a store holds, in no engine's terms: what it hands over when another is to go on in its place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chronoprof_sidecar.domain.history import Span
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.senders import Sender
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.table import Table


class HeldStretch(NamedTuple):
    """What the history counts in one minute, or in those minutes of an hour that it keeps as one."""

    is_hour: bool
    span: Span
    rows: Table
    losses: dict[str, Losses]


class HeldSave(NamedTuple):
    """A save, wherever it is kept."""

    name: str
    modified_ns: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything in one store; nobody counts in it meanwhile."""

    identity: str
    """Random, and the same for as long as the store lives."""
    batches: int
    """Counted by the store in its life: it holds the same as before if they are no more."""
    window: Snapshot
    senders: Sequence[Sender]
    service_minute: int
    """Of the store; the senders' activity is told by it."""
    stretches: Iterable[HeldStretch]
    """In order of time; to be gone through once."""
    saves: Iterable[HeldSave]
    """To be gone through once."""
