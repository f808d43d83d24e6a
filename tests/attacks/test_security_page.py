"""SECURITY.md: what it names exists, and what it quotes is so."""

import re
import tomllib
from pathlib import Path

import pytest

from chronoprof_sidecar.auth import BAD_KEY_WINDOW_SECONDS, MAX_ADDRESSES, MAX_BAD_KEYS
from chronoprof_sidecar.settings import SPECS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", PAGE))))
def test_every_link_leads_somewhere(target: str) -> None:
    """The file, or directory of tests, that holds a claim exists."""
    assert (ROOT / target).exists()


def test_settings_are_quoted_as_they_are() -> None:
    """Every setting on the page exists, and the table has its default."""
    defaults = {spec.name: spec.default for spec in SPECS}
    named = set(re.findall(r"CHRONOPROF_[A-Z_]+", PAGE))
    quoted = dict(re.findall(r"^\| `(CHRONOPROF_[A-Z_]+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert named <= set(defaults)
    assert len(quoted) == 12
    assert quoted == {name: defaults[name] for name in quoted}
    assert (MAX_BAD_KEYS, BAD_KEY_WINDOW_SECONDS, MAX_ADDRESSES) == (10, 60, 4096)


def test_the_page_is_shipped() -> None:
    """Whoever unpacks the source distribution finds the page."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "SECURITY.md" in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
