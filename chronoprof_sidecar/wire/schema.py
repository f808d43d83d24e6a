"""The typed shape of an ingest body, as msgspec decodes it.

Owns field names, types and simple bounds. What fields must agree on among each other belongs to `judging`.
"""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from chronoprof_sidecar.protocol import (
    MAX_CLIENT_ID_LENGTH,
    MAX_DURATION_NS,
    MAX_DURATION_SECONDS,
    MAX_ITEM_CALLS,
    MAX_ITEM_TOTAL_NS,
    MAX_LABEL_LENGTH,
    MAX_SAMPLE_EVERY,
    MAX_SEQ,
)

Calls = Annotated[int, Meta(ge=1, le=MAX_ITEM_CALLS)]
Errors = Annotated[int, Meta(ge=0, le=MAX_ITEM_CALLS)]
Lost = Annotated[int, Meta(ge=0, le=MAX_ITEM_TOTAL_NS)]
TotalNs = Annotated[int, Meta(ge=0, le=MAX_ITEM_TOTAL_NS)]
DurationNs = Annotated[int, Meta(ge=0, le=MAX_DURATION_NS)]
DurationSeconds = Annotated[float, Meta(ge=0, le=MAX_DURATION_SECONDS)]
Count = Annotated[int, Meta(ge=1)]
Label = Annotated[str, Meta(max_length=MAX_LABEL_LENGTH)]


class Client(Struct, gc=False):
    """Who sends, and which of its batches this is."""

    id: Annotated[str, Meta(min_length=1, max_length=MAX_CLIENT_ID_LENGTH)]
    seq: Annotated[int, Meta(ge=1, le=MAX_SEQ)]


class FunctionItem(Struct, gc=False):
    """An aggregate of the `functions` form; fulfils `domain.statistics.Aggregate`.

    What bounds a whole list is left to `judging`: looking at each bucket here costs a fifth of the decoding.
    """

    calls: Calls
    total_ns: TotalNs
    min_ns: DurationNs
    max_ns: DurationNs
    buckets: list[int]
    counts: list[Count]
    errors: Errors = 0
    sample_every: Annotated[int, Meta(ge=1, le=MAX_SAMPLE_EVERY)] = 1


class SampleItem(Struct, gc=False):
    """One timed call of the `samples` form."""

    function_name: str
    duration: DurationSeconds
    error: bool = False


class Envelope(Struct, kw_only=True, gc=False):
    """Everything in a body but its three forms."""

    client: Client | None = None
    service: Label = ""
    version: Label = ""
    instance: Label = ""
    span_seconds: Annotated[float, Meta(ge=0)] | None = None
    dropped: Lost = 0
    rejected: Lost = 0
    unknown: Lost = 0
    final: bool = False


class Body(Envelope, kw_only=True, gc=False):
    """A body whose every item has the right shape."""

    functions: dict[str, FunctionItem] | UnsetType = UNSET
    durations: dict[str, list[DurationSeconds]] | UnsetType = UNSET
    samples: list[SampleItem] | UnsetType = UNSET


class RawBody(Envelope, kw_only=True, gc=False):
    """A body with a right envelope whose items have yet to be judged one by one."""

    functions: dict[str, Raw] | UnsetType = UNSET
    durations: dict[str, Raw] | UnsetType = UNSET
    samples: list[Raw] | UnsetType = UNSET


decode_body = msgspec.json.Decoder(Body).decode
decode_raw_body = msgspec.json.Decoder(RawBody).decode
decode_function = msgspec.json.Decoder(FunctionItem).decode
decode_elements = msgspec.json.Decoder(list[Raw]).decode
decode_duration = msgspec.json.Decoder(DurationSeconds).decode
decode_sample = msgspec.json.Decoder(SampleItem).decode
