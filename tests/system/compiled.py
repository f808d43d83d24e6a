"""Which modules are compiled: a program that shows their files, and a plugin of pytest that insists on it."""

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.system.image import ROOT

_PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
_SOURCES: Final[list[str]] = _PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["mypyc"]["include"]
MODULES: Final = [source.removesuffix(".py").replace("/", ".") for source in _SOURCES]
SHOW_FILES: Final = f"""
from importlib import import_module
print(*(import_module(name).__file__ for name in {MODULES}))
"""


def pytest_configure() -> None:
    """Refuse to run on the sources."""
    assert {".so"} == {Path(str(import_module(name).__file__)).suffix for name in MODULES}
