from bisect import bisect_left
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.protocol import (
    BUCKET_COUNT,
    MAX_DURATION_NS,
    MAX_DURATION_SECONDS,
    NANOSECONDS,
    bucket_of,
)
from chronoprof_sidecar.wire.batches import decode_batch
from chronoprof_sidecar.wire.judging import (
    refuse_aggregate,
    refuse_contradiction,
    refuse_label,
    refuse_name,
)
from chronoprof_sidecar.wire.schema import FunctionItem
from tests.domain.building import aggregate, bounded, duration_lists, statistics
from tests.wire.bodies import GOOD, MS, body_of, changed, item_of, without

GOOD_BODY = {"functions": {"good": GOOD}}

BAD_FUNCTIONS: list[tuple[Any, str]] = [
    (5, "object"),
    (None, "object"),
    ([], "object"),
    ({}, "calls"),
    *((without(field), field) for field in ("calls", "total_ns", "min_ns", "max_ns", "buckets", "counts")),
    *((changed(calls=calls), "calls") for calls in (0, -1, True, "3", 3.0, 3.5, None, 2**40 + 1, 2**63, 2**64)),
    (changed(calls=2), "counts do not add up to calls"),
    *((changed(errors=errors), "errors") for errors in (-1, 4, True, "0", None)),
    *((changed(total_ns=total), "total_ns") for total in (-1, 2**62 + 1, 2**63, "1", True)),
    (changed(total_ns=3 * (90 * MS - 1) - 1), "total_ns is not between"),
    (changed(total_ns=3 * (300 * MS + 1) + 1), "total_ns is not between"),
    *((changed(min_ns=least), "min_ns") for least in (-1, MAX_DURATION_NS + 1, "0", True)),
    *((changed(max_ns=most), "max_ns") for most in (-1, MAX_DURATION_NS + 1, None, 0.5)),
    (changed(min_ns=301 * MS, total_ns=900 * MS), "min_ns exceeds max_ns"),
    *((changed(buckets=buckets), "bucket") for buckets in ([], [7900], [7900, 7979, 8012, 8013], "7900", None)),
    *((changed(buckets=[7900, 7979, last]), "bucket") for last in (-1, 2**14, 2**63, 8012.0, True, "8012")),
    (changed(buckets=[7979, 7900, 8012]), "not ascending"),
    (changed(buckets=[7900, 7900, 8012]), "not ascending"),
    (item_of([0], calls=3000, buckets=[0] * 3000, counts=[1] * 3000), "not ascending"),
    (changed(buckets=[7898, 7979, 8012]), "the first bucket is not that of min_ns"),
    (changed(buckets=[7902, 7979, 8012]), "the first bucket is not that of min_ns"),
    (changed(buckets=[7900, 7979, 8014]), "the last bucket is not that of max_ns"),
    (changed(buckets=[7900, 7979, 8010]), "the last bucket is not that of max_ns"),
    (item_of([1000], buckets=[bucket_of(1e-6) + 2]), "the first bucket is not that of min_ns"),
    *((changed(counts=counts), "counts") for counts in ([], [3], [0, 1, 2], [-1, 2, 2], [1, 1, True], [1, 1, "1"])),
    (changed(counts=[1, 1, 2**63]), "counts"),
    *((changed(sample_every=n), "sample_every") for n in (0, -1, 1_000_001, True, "1", 1.5, None)),
    (item_of([MS], calls=2**30, counts=[2**30], total_ns=2**30 * MS, sample_every=1025), "exceeds 2^40"),
    (item_of([2**43], calls=2**18, counts=[2**18], total_ns=2**61, sample_every=3), "exceeds 2^62"),
]

BAD_DURATIONS: list[tuple[Any, str]] = [
    (-1, ">= 0.0"),
    (-1e-300, ">= 0.0"),
    (864_000.0001, "<= 864000.0"),
    (10**30, "<= 864000.0"),
    (True, "bool"),
    (False, "bool"),
    ("0.5", "str"),
    (None, "null"),
    ([], "array"),
    ({}, "object"),
]

BAD_NAMES = [
    ("", "empty"),
    ("x" * 513, "longer than 512"),
    ("a\nb", "control character"),
    ("a\x00", "control character"),
    ("\x7f", "control character"),
    ("\x85", "control character"),
    ("_other", "reserved"),
]


def check_refused(form: dict[str, Any], item: str, reason: str) -> None:
    """Assert that one item is refused by name and with its reason, and that the rest of the body counts."""
    batch = decode_batch(body_of(**{**GOOD_BODY, **form}))
    (error,) = batch.errors
    assert (1, 3) == (batch.rejected_items, batch.calls)
    assert item == error.item
    assert reason in error.reason


@pytest.mark.parametrize(("item", "reason"), BAD_FUNCTIONS)
def test_a_bad_aggregate_is_refused(item: Any, reason: str) -> None:
    """An aggregate of a wrong shape, beyond a bound, or at odds with itself is named; the rest counts."""
    check_refused({"functions": {"bad": item, **GOOD_BODY["functions"]}}, "bad", reason)


@pytest.mark.parametrize(("duration", "reason"), BAD_DURATIONS)
def test_a_bad_duration_is_refused(duration: Any, reason: str) -> None:
    """A duration that is no number from 0 to ten days is named in both forms; the rest counts."""
    check_refused({"durations": {"bad": [duration]}}, "bad[0]", reason)
    check_refused({"samples": [{"function_name": "bad", "duration": duration}]}, "samples[0]", reason)


@pytest.mark.parametrize("durations", ["x", 0.5, None, {"0": 1}, []])
def test_what_is_no_list_of_durations_is_refused(durations: Any) -> None:
    """The `durations` form holds lists of at least one."""
    check_refused({"durations": {"bad": durations}}, "bad", "list" if durations == [] else "Expected `array`")


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        ({}, "function_name"),
        ({"function_name": "a"}, "duration"),
        ({"duration": 1}, "function_name"),
        ({"function_name": 5, "duration": 1}, "function_name"),
        ({"function_name": "a", "duration": 1, "error": 1}, "error"),
        ({"function_name": "a", "duration": 1, "error": "false"}, "error"),
        ({"function_name": "a", "duration": 1, "error": None}, "error"),
        ([], "object"),
        ("a", "object"),
    ],
)
def test_a_bad_sample_is_refused(sample: Any, reason: str) -> None:
    """A sample of a wrong shape is named by its place; the rest counts."""
    check_refused({"samples": [sample]}, "samples[0]", reason)


@pytest.mark.parametrize(("name", "reason"), BAD_NAMES)
def test_a_bad_name_is_refused_in_every_form(name: str, reason: str) -> None:
    """Names have 1 to 512 characters, none of them a control character, and `_other` is nobody's."""
    check_refused({"functions": {name: GOOD, **GOOD_BODY["functions"]}}, name[:80], reason)
    check_refused({"durations": {name: [1]}}, name[:80], reason)
    check_refused({"samples": [{"function_name": name, "duration": 1}]}, "samples[0]", reason)
    assert reason in (refuse_name(name) or "")


@pytest.mark.parametrize("name", ["x" * 512, "🐍" * 512, " ", "\u200b\u2028", "_OTHER", "../../etc/passwd", "=1+1"])
def test_any_other_name_counts(name: str) -> None:
    """Characters are counted, not bytes, and what merely looks odd is a name."""
    batch = decode_batch(body_of(durations={name: [1]}))
    assert [name] == [item.function_name for item in batch.items]


def test_labels_are_clean() -> None:
    """A label may be empty and odd, but holds no control character."""
    assert [None, None] == [refuse_label(""), refuse_label("ü \u2028")]
    assert all(refuse_label(label) for label in ("\x00", "a\tb", "\x9f"))


def is_near(bucket: int, duration_ns: int) -> bool:
    """Apply the rule as it is written: within one bucket, or in any of the coarse ones up to 1 µs."""
    if duration_ns <= 1000:
        return bucket <= bucket_of(1e-6) + 1
    return abs(bucket - bucket_of(duration_ns / NANOSECONDS)) <= 1


def test_buckets_are_judged_by_the_rule_at_every_edge() -> None:
    """Just below and at the shortest duration of each bucket, exactly the buckets that the rule names are allowed."""
    durations = range(MAX_DURATION_NS + 1)
    for edge in range(bucket_of(1e-9) - 2, bucket_of(MAX_DURATION_SECONDS) + 1):
        first_ns = bisect_left(durations, edge, key=lambda duration_ns: bucket_of(duration_ns / NANOSECONDS))
        for duration_ns in (first_ns - 1, first_ns):
            for bucket in (0, *range(edge - 4, edge + 4), BUCKET_COUNT - 1):
                item = FunctionItem(1, duration_ns, duration_ns, duration_ns, [bucket], [1])
                assert is_near(bucket, duration_ns) == (refuse_contradiction(item) is None)


def to_item(durations: list[int]) -> FunctionItem:
    """Return an aggregate of durations as it is decoded."""
    counted = aggregate(durations)
    return FunctionItem(
        calls=counted.calls,
        total_ns=counted.total_ns,
        min_ns=counted.min_ns,
        max_ns=counted.max_ns,
        buckets=list(counted.buckets),
        counts=list(counted.counts),
    )


@bounded
@given(duration_lists)
def test_every_honest_aggregate_is_accepted(durations: list[int]) -> None:
    """No true measurement in whole nanoseconds is ever refused."""
    assert refuse_aggregate(to_item(durations)) is None


@bounded
@given(st.lists(duration_lists, min_size=1, max_size=5))
def test_sums_of_honest_aggregates_agree_with_themselves(parts: list[list[int]]) -> None:
    """A merged row fulfils what its parts did, so a save of any window can be judged by the same rule."""
    row = statistics(parts[0])
    for part in parts[1:]:
        row.merge(statistics(part))
    buckets, counts = row.histogram.to_sparse()
    item = FunctionItem(row.calls, row.total_ns, row.min_ns, row.max_ns, buckets, counts)
    assert refuse_contradiction(item) is None
