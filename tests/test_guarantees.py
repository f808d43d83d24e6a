"""docs/guarantees.md: every row leads to its proof, and every proof has its row."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ")][2:]
TARGETS = re.findall(r"\]\(\.\./([^)#]+)", PAGE)
PROOFS = sorted(
    str(path.relative_to(ROOT))
    for suite in ("faults", "attacks", "fleet")
    for path in (ROOT / "tests" / suite).glob("test_*.py")
)


@pytest.mark.parametrize("target", TARGETS)
def test_every_link_leads_somewhere(target: str) -> None:
    """What proves a guarantee exists, and is linked once."""
    assert (ROOT / target).is_file()
    assert TARGETS.count(target) == 1


@pytest.mark.parametrize("proof", PROOFS)
def test_every_proof_has_a_row(proof: str) -> None:
    """Nothing is proved in tests/faults, tests/attacks and tests/fleet that the page does not say."""
    assert proof in TARGETS, f"docs/guarantees.md: add a row that links to {proof}"


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_whole(row: str) -> None:
    """A row says when, what, and by which test."""
    when, guaranteed, proof = (cell.strip() for cell in row.strip("|").split("|"))
    assert when
    assert guaranteed
    assert re.fullmatch(r"\[(test_\w+)\]\(\.\./tests/(faults|attacks|fleet)/\1\.py\)", proof)
