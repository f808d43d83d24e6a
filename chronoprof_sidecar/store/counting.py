"""What counting a batch adds beside its rows: the honest figures."""

from typing import Final

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.table import Placement

LATE_SECONDS: Final = 60
"""Calls of a batch that spans more may belong to an earlier minute than the one that they are counted in."""


def losses_of(batch: Batch, placement: Placement) -> Losses | None:
    """Return the loss figures that counting `batch` adds; None when it adds none, as nearly all do."""
    overflowed = 0
    if placement.labels != batch.labels:
        overflowed = batch.calls
    elif placement.overflowed:
        overflowed = sum(item.calls * item.sample_every for name, item in batch.items if name in placement.overflowed)
    sampled = sum([item.calls * item.sample_every for _, item in batch.items if item.sample_every > 1])
    late = batch.calls if (batch.span_seconds or 0) > LATE_SECONDS else 0
    if not (overflowed or sampled or late or batch.dropped or batch.rejected or batch.unknown):
        return None
    return Losses(batch.dropped, batch.rejected, batch.unknown, overflowed, 0, sampled, late)
