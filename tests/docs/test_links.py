"""Links between pages: every file and every section that one leads to exists, and no page is left out."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINKS = [
    (page, target)
    for page in PAGES
    for target in sorted(set(_LINK.findall(_CODE.sub("`code`", page.read_text(encoding="utf-8")))))
    if not target.startswith(("https://", "mailto:"))
]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that a forge makes of a page's headings: lower case, no punctuation, dashes for spaces."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), LINKS, ids=[f"{page.name}:{target}" for page, target in LINKS])
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    """The file exists, and so does the section, where one is named."""
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    assert file.exists()
    if anchor:
        assert anchor in anchors_of(file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_named_link_is_defined(page: Path) -> None:
    """Every name that stands for an address has one, and every address has a reader."""
    text = _CODE.sub("`code`", page.read_text(encoding="utf-8"))
    used = set(re.findall(r"\]\[([\w-]+)\]", text))
    assert used == set(re.findall(r"^\[([\w-]+)\]: https://", text, re.MULTILINE))


def test_every_page_can_be_found() -> None:
    """From the README a reader gets to every page."""
    reached: set[Path] = set()
    pending = {ROOT / "README.md"}
    while pending:
        page = pending.pop()
        reached.add(page)
        pending |= {(page.parent / target.partition("#")[0]).resolve() for of, target in LINKS if of == page} - reached
    assert set(PAGES) <= reached
