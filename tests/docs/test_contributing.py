"""CONTRIBUTING.md: the example of a test is one, and the map is that of the house."""

import re
from typing import Any

from tests.docs.pages import ROOT, blocks_of, read_page
from tests.process.sidecar import Sidecar
from tests.test_architecture import MAY_IMPORT

PAGE = read_page("CONTRIBUTING.md")


def test_the_example_of_a_test_passes(sidecar: Sidecar) -> None:
    """What a newcomer copies works."""
    (example,) = blocks_of(PAGE, "python")
    names: dict[str, Any] = {"Sidecar": Sidecar}
    exec(example, names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test(sidecar)


def test_every_part_is_on_the_map() -> None:
    """Each part of the package that has rules of import has its row, and every file named exists."""
    section = PAGE.partition("## Where things are")[2].partition("\n## ")[0]
    rows = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    on_map = {name.removesuffix(".py").rstrip("/") for name in re.findall(r"`([^`]+)`", rows)}
    not_parts = {"", "__main__", "setting_values", "env_file"}
    assert set(MAY_IMPORT) - not_parts == on_map
    for path in re.findall(r"`((?:client|server|wire|store)/[\w/]+\.\w+)`", PAGE):
        assert (ROOT / "chronoprof_sidecar" / path).is_file(), path


def test_every_target_exists() -> None:
    """A newcomer is told of no target that the Makefile does not have."""
    makefile = read_page("Makefile")
    for page in ("CONTRIBUTING.md", "README.md"):
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", read_page(page), re.MULTILINE):
            assert re.search(rf"^{target}:.*", makefile, re.MULTILINE), f"{page}: make {target}"
