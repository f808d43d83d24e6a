"""The documentation as tests need it: its pages, and the examples in them by language and by file name.

A block whose first line is ```` ```bash ```` is run by `test_examples`; ```` ```LANGUAGE NAME ```` is a whole file, and
the blocks of its page find it under that name.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.process.sidecar import ADMIN_KEY, Sidecar

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read_page(name: str) -> str:
    """Return the text of a page, named from the repository's root."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks_of(text: str, language: str) -> list[str]:
    """Return the blocks of exactly this language, those that are whole files left out."""
    return [block for info, block in _BLOCK.findall(text) if info == language]


def files_of(text: str) -> dict[str, str]:
    """Return the blocks that are whole files by their names."""
    return {name: block for info, block in _BLOCK.findall(text) if (name := info.partition(" ")[2])}


def write_files(text: str, directory: Path) -> None:
    """Write the whole files of a page into a directory, as its reader would."""
    for name, block in files_of(text).items():
        (directory / name).write_text(block, encoding="utf-8")


def paste(
    command: str, sidecar: Sidecar, directory: Path, *, key: str = ADMIN_KEY, url: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a block in a directory, as pasted by somebody whose sidecar is the default one."""
    command = command.replace("localhost:8000", f"localhost:{sidecar.port}").replace("curl -sS", "curl -sS --fail")
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CHRONOPROF_URL": url or sidecar.url,
        "CHRONOPROF_API_KEY": key,
    }
    return subprocess.run(
        ["bash", "-ec", command], cwd=directory, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
