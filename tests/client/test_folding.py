import math
import sys
from collections import Counter
from types import ModuleType

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.client.folding import aggregate_samples
from chronoprof_sidecar.protocol import MAX_DURATION_SECONDS, bucket_of

durations = st.floats(min_value=0.0, max_value=MAX_DURATION_SECONDS).map(abs)
"""Zero and everything up to ten days; `abs` because a clock's difference is never a negative zero."""


@pytest.fixture(params=[None, numpy], ids=["stdlib", "numpy"])
def loaded_numpy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType | None:
    """An app that has imported numpy, and one that has not."""
    monkeypatch.setitem(sys.modules, "numpy", request.param)
    module: ModuleType | None = request.param
    return module


@pytest.mark.parametrize("count", [1, 6, 7, 299, 300, 5000])
@pytest.mark.parametrize("failed", [False, True])
def test_every_figure_of_a_slice(loaded_numpy: ModuleType | None, count: int, failed: bool) -> None:
    """Calls, errors, total, extremes and buckets are those of the samples, however many, with numpy or without."""
    samples = [1e-9 * 1.07**i % 5.0 for i in range(count)]

    aggregate, invalid = aggregate_samples(samples, failed=failed)

    assert aggregate is not None
    assert 0 == invalid
    assert (count, count if failed else 0) == (aggregate.calls, aggregate.errors)
    assert (round(min(samples) * 1e9), round(max(samples) * 1e9)) == (aggregate.min_ns, aggregate.max_ns)
    assert abs(math.fsum(samples) * 1e9 - aggregate.total_ns) <= count
    assert Counter(map(bucket_of, samples)) == aggregate.buckets


@given(st.lists(durations, min_size=1, max_size=700))
def test_aggregates_agree_with_themselves(samples: list[float]) -> None:
    """Whatever was measured, the aggregate is one that a sidecar accepts: figures within each other's bounds."""
    aggregate, _ = aggregate_samples(samples, failed=False)

    assert aggregate is not None
    assert len(samples) == sum(aggregate.buckets.values())
    assert aggregate.calls * aggregate.min_ns <= aggregate.total_ns <= aggregate.calls * aggregate.max_ns


@pytest.mark.parametrize("bad", [-1e-9, MAX_DURATION_SECONDS * 1.001, math.inf, math.nan])
@pytest.mark.parametrize("count", [1, 400])
def test_impossible_durations_are_counted_apart(loaded_numpy: ModuleType | None, bad: float, count: int) -> None:
    """A duration that no clock can measure is left out and counted, and harms none of its neighbours."""
    aggregate, invalid = aggregate_samples([*[0.5] * count, bad], failed=False)

    assert aggregate is not None
    assert (1, count, round(0.5e9)) == (invalid, aggregate.calls, aggregate.max_ns)


def test_nothing_but_impossible_durations() -> None:
    """Where no duration is possible there is no aggregate."""
    assert (None, 2) == aggregate_samples([-1.0, -2.0], failed=False)


def test_a_numpy_that_is_still_being_imported_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """While another thread imports numpy, folding does without."""
    monkeypatch.setitem(sys.modules, "numpy", ModuleType("numpy"))

    aggregate, _ = aggregate_samples([0.25] * 1000, failed=False)

    assert aggregate is not None
    assert {bucket_of(0.25): 1000} == aggregate.buckets
