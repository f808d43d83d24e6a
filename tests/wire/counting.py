"""Counts batches into a table and takes its picture, as a store does."""

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.table import Admission, Selection, Table

ARRIVED_NS = 1_763_856_000_123_456_789
"""2025-11-23T00:00:00.123456789Z."""


def count(*batches: Batch, max_functions: int = 10_000) -> Table:
    """Return a table that counts all batches."""
    table = Table()
    for batch in batches:
        table.count(Admission(table, max_functions).place(batch), batch.items, ARRIVED_NS)
    return table


def snapshot_of(table: Table, losses: dict[str, Losses] | None = None, generation: int = 7) -> Snapshot:
    """Return copies of all rows of a table, with loss figures per service."""
    losses = losses or {}
    return Snapshot(
        generation=generation,
        window_start_ns=ARRIVED_NS - 60 * 1_000_000_000,
        taken_ns=ARRIVED_NS + 1,
        services=sorted({labels.service for labels in table.label_pairs()} | losses.keys()),
        rows=table.snapshot(Selection()),
        losses={service: each.copy() for service, each in losses.items()},
    )
