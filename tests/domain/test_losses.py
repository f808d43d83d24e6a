from dataclasses import fields

import pytest

from chronoprof_sidecar.domain.losses import Losses

FIGURES = [field.name for field in fields(Losses)]


@pytest.mark.parametrize("figure", FIGURES)
def test_any_figure_of_something_missing_makes_a_table_incomplete(figure: str) -> None:
    """`complete` is false when anything was lost; a sample stands for what it left out, and what came late came."""
    losses = Losses(**{figure: 1})
    assert (figure in ("sampled", "late")) == losses.complete
    assert losses


def test_no_figures_is_complete() -> None:
    """Nothing lost is nothing to tell."""
    assert Losses().complete
    assert not Losses()


def test_merging_adds_every_figure() -> None:
    """Each figure is summed on its own, and what is merged stays as it was."""
    one, other = Losses(1, 2, 3, 4, 5, 6), Losses(10, 20, 30, 40, 50, 2**70)
    one.merge(other)
    assert Losses(11, 22, 33, 44, 55, 2**70 + 6) == one
    assert Losses(10, 20, 30, 40, 50, 2**70) == other


def test_a_copy_is_independent() -> None:
    """What a copy gains, the original does not."""
    losses = Losses(dropped=1)
    copy = losses.copy()
    copy.merge(Losses(dropped=1))
    assert (Losses(dropped=1), Losses(dropped=2)) == (losses, copy)
