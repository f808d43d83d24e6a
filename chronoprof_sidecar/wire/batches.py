"""An ingest body to a batch: DESIGN's three forms, in any mix, to one list of aggregates.

A body whose items all have the right shape takes one typed decode. When that refuses, the items are judged one by
one, so that a bad one is named and the rest counts. A bad envelope refuses the whole body.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import fsum
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, UnsetType

from chronoprof_sidecar.domain.batch import Batch, ItemError, Labels, NamedAggregate, SequenceId
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import NANOSECONDS, count_buckets
from chronoprof_sidecar.wire.judging import refuse_aggregate, refuse_label, refuse_name
from chronoprof_sidecar.wire.schema import (
    Body,
    Envelope,
    FunctionItem,
    RawBody,
    SampleItem,
    decode_body,
    decode_duration,
    decode_elements,
    decode_function,
    decode_raw_body,
    decode_sample,
)

REPORTED_ERRORS: Final = 20
"""Refused items that an answer names; the rest is only counted."""
MAX_REFUSED_ITEMS: Final = 1000
"""Refused items beyond which a body is refused whole: to name what is wrong with each of half a million bad samples, as
many as a megabyte holds, takes more than a second."""
_SHOWN_NAME_LENGTH: Final = 80

T = TypeVar("T")


def decode_batch(body: bytes) -> Batch:
    """Return what a request body asks to be counted.

    Args:
        body: the inflated JSON text; the batch keeps it.

    Raises:
        MalformedRequestError: the body is not JSON, or its envelope is bad; the message names the field.
    """
    try:
        decoded = _decode(body)
        collected = _Collected()
        if isinstance(decoded, Body):
            _collect(decoded, collected)
        else:
            _collect_one_by_one(decoded, collected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedRequestError(_explain(error)) from None
    return _build(decoded, collected, body)


@dataclass(slots=True)
class _Collected:
    """Items accepted and refused so far."""

    items: list[NamedAggregate] = field(default_factory=list)
    calls: int = 0
    refused: int = 0
    errors: list[ItemError] = field(default_factory=list)

    def accept(self, name: str, item: FunctionItem) -> None:
        # Without the detour over NamedTuple's own constructor, which takes as long as decoding a small item.
        self.items.append(tuple.__new__(NamedAggregate, (name, item)))
        self.calls += item.calls * item.sample_every

    def refuse(self, item: str, reason: str) -> None:
        self.refused += 1
        if len(self.errors) < REPORTED_ERRORS:
            self.errors.append(ItemError(item[:_SHOWN_NAME_LENGTH], reason))
        if self.refused > MAX_REFUSED_ITEMS:
            first = self.errors[0]
            raise MalformedRequestError(
                f"more than {MAX_REFUSED_ITEMS} items are bad, the first of them {first.item!r}: {first.reason}"
            )


def aggregate_durations(durations_seconds: Sequence[float], errors: int = 0) -> FunctionItem:
    """Aggregate at least one duration in seconds, of which `errors` raised.

    The total is the exactly rounded sum (Shewchuk, `math.fsum`) as whole nanoseconds.
    """
    counts = count_buckets(durations_seconds)
    buckets = sorted(counts)
    return FunctionItem(
        calls=len(durations_seconds),
        total_ns=round(fsum(durations_seconds) * NANOSECONDS),
        min_ns=round(min(durations_seconds) * NANOSECONDS),
        max_ns=round(max(durations_seconds) * NANOSECONDS),
        buckets=buckets,
        counts=[counts[bucket] for bucket in buckets],
        errors=errors,
    )


def _collect(body: Body, collected: _Collected) -> None:
    if not isinstance(body.functions, UnsetType):
        _take_functions(body.functions.items(), collected)
    if not isinstance(body.durations, UnsetType):
        for name, durations in body.durations.items():
            _take_durations(name, durations, collected)
    if not isinstance(body.samples, UnsetType):
        _take_samples(enumerate(body.samples), collected)


def _collect_one_by_one(body: RawBody, collected: _Collected) -> None:
    if not isinstance(body.functions, UnsetType):
        functions = (
            (name, _decode_item(decode_function, raw, name, collected)) for name, raw in body.functions.items()
        )
        _take_functions(((name, item) for name, item in functions if item is not None), collected)
    if not isinstance(body.durations, UnsetType):
        for name, raw in body.durations.items():
            _take_raw_durations(name, raw, collected)
    if not isinstance(body.samples, UnsetType):
        decoded = (
            (i, _decode_item(decode_sample, raw, f"samples[{i}]", collected)) for i, raw in enumerate(body.samples)
        )
        _take_samples(((index, sample) for index, sample in decoded if sample is not None), collected)


def _take_functions(functions: Iterable[tuple[str, FunctionItem]], collected: _Collected) -> None:
    for name, item in functions:
        reason = refuse_name(name) or refuse_aggregate(item)
        if reason:
            collected.refuse(name, reason)
        else:
            collected.accept(name, item)


def _take_durations(name: str, durations: list[float], collected: _Collected) -> None:
    reason = refuse_name(name) or (None if durations else "the list of durations is empty")
    if reason:
        collected.refuse(name, reason)
    else:
        collected.accept(name, aggregate_durations(durations))


def _take_raw_durations(name: str, raw: Raw, collected: _Collected) -> None:
    elements = _decode_item(decode_elements, raw, name, collected)
    if elements is None:
        return
    judged = [_decode_item(decode_duration, each, f"{name}[{i}]", collected) for i, each in enumerate(elements)]
    durations = [duration for duration in judged if duration is not None]
    if durations or not elements:
        _take_durations(name, durations, collected)


def _take_samples(samples: Iterable[tuple[int, SampleItem]], collected: _Collected) -> None:
    durations: dict[str, list[float]] = {}
    errors: dict[str, int] = {}
    for index, sample in samples:
        name = sample.function_name
        of_name = durations.get(name)
        if of_name is None:
            reason = refuse_name(name)
            if reason:
                collected.refuse(f"samples[{index}]", reason)
                continue
            of_name = durations[name] = []
        of_name.append(sample.duration)
        if sample.error:
            errors[name] = errors.get(name, 0) + 1
    for name, of_name in durations.items():
        collected.accept(name, aggregate_durations(of_name, errors.get(name, 0)))


def _decode_item(decode: Callable[[Raw], T], raw: Raw, item: str, collected: _Collected) -> T | None:
    """Return the decoded item; None, with the refusal noted, where it has the wrong shape."""
    try:
        return decode(raw)
    except msgspec.ValidationError as error:
        collected.refuse(item, str(error))
        return None


def _decode(text: bytes) -> Body | RawBody:
    """Return the body with a right envelope, its items decoded if all of them have the right shape."""
    if not text.isascii():
        text.decode()  # wrong UTF-8 is wrong also in what the decoder passes over
    body: Body | RawBody
    try:
        body = decode_body(text)
    except msgspec.ValidationError:
        body = decode_raw_body(text)
    _judge_envelope(body)
    return body


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the body is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "the body is not UTF-8"
    if isinstance(error, msgspec.ValidationError):
        return f"bad ingest body: {error}"
    return f"the body is not JSON: {error}"


def _judge_envelope(body: Envelope) -> None:
    for label in ("service", "version", "instance"):
        reason = refuse_label(getattr(body, label))
        if reason:
            raise MalformedRequestError(f"bad ingest body: {reason} - at `$.{label}`")
    if body.client is not None and not body.client.id.isprintable():
        raise MalformedRequestError("bad ingest body: it is not printable - at `$.client.id`")


def _build(body: Body | RawBody, collected: _Collected, text: bytes) -> Batch:
    has_form = not all(isinstance(form, UnsetType) for form in (body.functions, body.durations, body.samples))
    if not (has_form or body.dropped or body.rejected or body.unknown or body.final):
        raise MalformedRequestError("the body needs one of functions, durations, samples")
    client = body.client
    return Batch(
        client=SequenceId(client.id, client.seq) if client else None,
        labels=Labels(body.service, body.version),
        instance=body.instance,
        items=collected.items,
        calls=collected.calls,
        rejected_items=collected.refused,
        errors=collected.errors,
        span_seconds=body.span_seconds,
        dropped=body.dropped,
        rejected=body.rejected,
        unknown=body.unknown,
        final=body.final,
        body=text,
        # Told apart are only the batches of one sender; for others it would cost a tenth of the decoding.
        digest=blake2b(text, digest_size=16).digest() if client else b"",
    )
