"""Ingest bodies for store tests, made by the wire's own rules."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chronoprof_sidecar.domain.batch import Batch
from chronoprof_sidecar.wire.batches import decode_batch


def make_batch(
    durations: Mapping[str, Sequence[float]] | None = None, *, sender: str | None = None, seq: int = 1, **fields: Any
) -> Batch:
    """Return a batch of durations in seconds per function name, from `sender` if one is named."""
    body: dict[str, Any] = dict(fields)
    if durations is not None:
        body["durations"] = durations
    if sender is not None:
        body["client"] = {"id": sender, "seq": seq}
    return decode_batch(json.dumps(body).encode())
