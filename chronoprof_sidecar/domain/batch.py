"""One ingest request, decoded, and what became of it: what `wire` makes and a store counts."""

from collections.abc import Sequence
from typing import NamedTuple

from chronoprof_sidecar.domain.statistics import Aggregate


class Labels(NamedTuple):
    """What a sender says once about all that it ships."""

    service: str
    version: str


class RowKey(NamedTuple):
    """The key of a row in a window."""

    function_name: str
    service: str
    version: str


class SequenceId(NamedTuple):
    """A sender's id and the number of its batch, from 1."""

    id: str
    seq: int


class ItemError(NamedTuple):
    """Why one item of a batch was refused; `item` is its name or its place, as in `samples[3]`."""

    item: str
    reason: str


class NamedAggregate(NamedTuple):
    """An aggregate and the function name that it counts under."""

    function_name: str
    aggregate: Aggregate


class Batch(NamedTuple):
    """What one request asks to be counted; nobody changes it.

    `dropped`, `rejected` and `unknown` are calls that the sender lost since its last acknowledged batch.
    """

    client: SequenceId | None
    labels: Labels
    instance: str
    items: Sequence[NamedAggregate]
    calls: int
    """Calls that counting this batch adds, samples multiplied."""
    rejected_items: int
    errors: Sequence[ItemError]
    span_seconds: float | None
    dropped: int
    rejected: int
    unknown: int
    final: bool
    body: bytes
    """The inflated request body that all of this was read from; a store may keep it and decode it again."""
    digest: bytes
    """16 bytes that tell this body from another of the same `client`; empty where there is none."""


class Outcome(NamedTuple):
    """What became of one batch; it exists only once that is durable."""

    accepted: int | None
    """Calls counted; None where the batch was counted so long ago that its figures are forgotten."""
    rejected_items: int
    errors: Sequence[ItemError]
    client: SequenceId | None
    duplicate: bool
