"""The examples of every page work when they are pasted."""

import shutil
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks_of, paste, write_files
from tests.process.sidecar import Sidecar

WITH_EXAMPLES = {
    str(path.relative_to(ROOT)): text for path in PAGES if blocks_of(text := path.read_text(encoding="utf-8"), "bash")
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("page", WITH_EXAMPLES)
def test_every_pasted_block_works(sidecar: Sidecar, tmp_path: Path, page: str) -> None:
    """Pasted one after the other, every block of a page ends well, and every request in it is answered below 400."""
    text = WITH_EXAMPLES[page]
    write_files(text, tmp_path)
    for block in blocks_of(text, "bash"):
        done = paste(block, sidecar, tmp_path)
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
