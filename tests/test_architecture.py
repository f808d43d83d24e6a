"""The rules of the house that no type checker holds: who may import whom, and what the modules say about themselves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "chronoprof_sidecar"
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))

FOUNDATION = {"errors", "protocol"}
SETTINGS = {"settings", "setting_values", "env_file", "auth"}
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "protocol": {"errors"},
    "client": FOUNDATION,
    "domain": FOUNDATION,
    **dict.fromkeys(SETTINGS, FOUNDATION | SETTINGS),
    "wire": FOUNDATION | {"domain"},
    "store": FOUNDATION | {"domain", "wire"} | SETTINGS,
    "server": FOUNDATION | {"domain", "wire", "store"} | SETTINGS,
    "cli": FOUNDATION | {"domain", "wire", "store", "server", "client"} | SETTINGS,
    "__main__": {"cli"},
}
"""Which parts of the package each part may import beside itself; `""` is the package's own `__init__`, open to all."""

STDLIB_ONLY = FOUNDATION | {"", "domain"}
NOT_PURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "socket", "sqlite3", "threading", "time"}
"""Ways out of the domain: no I/O, no clock, no chance."""


def name_of(path: Path) -> str:
    """Return the dotted name of the module in `path`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(module: str) -> str:
    """Return the part of the package that `module` belongs to: `wire` for `chronoprof_sidecar.wire.batches`."""
    return module.partition(".")[2].partition(".")[0]


def imports_of(path: Path) -> Iterator[str]:
    """Yield every module that the one in `path` imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} has a relative import"
            assert node.module is not None
            # `from chronoprof_sidecar import errors` may mean the module of that name.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    """A module imports its own part of the package and the parts below it, and nothing above or beside."""
    part = part_of(name_of(path))
    parts = {part_of(name) for name in imports_of(path) if name.partition(".")[0] == PACKAGE}
    # `from chronoprof_sidecar import __version__` is no part of the package but a name in its __init__.
    assert set() == parts - MAY_IMPORT[part] - {part, "__version__"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_owns(path: Path) -> None:
    """A module opens with a docstring whose first paragraph is a sentence."""
    docstring = ast.get_docstring(ast.parse(path.read_bytes()))
    assert docstring
    assert docstring.partition("\n\n")[0].endswith((".", ":"))


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(name_of(path)) in STDLIB_ONLY], ids=name_of)
def test_what_everything_stands_on_is_stdlib_only(path: Path) -> None:
    """Errors, protocol and domain import the standard library alone."""
    tops = {name.partition(".")[0] for name in imports_of(path)}
    assert set() == tops - sys.stdlib_module_names - {PACKAGE}


@pytest.mark.parametrize("path", sorted((ROOT / PACKAGE / "domain").glob("*.py")), ids=name_of)
def test_the_domain_is_pure(path: Path) -> None:
    """The domain reaches for no file, no socket, no thread and no clock."""
    assert set() == NOT_PURE & {name.partition(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(name_of(path)) == "client"], ids=name_of)
def test_the_shim_imports_without_any_package(path: Path) -> None:
    """Each module of the client, every framework's middleware included, imports where nothing else is installed."""
    import_without_packages(name_of(path))


def test_the_command_line_imports_without_any_package() -> None:
    """The commands that only talk to a sidecar need no extra: `chronoprof` imports with the standard library alone."""
    import_without_packages(f"{PACKAGE}.cli.main")


def import_without_packages(module: str) -> None:
    """Import `module` in an interpreter without site-packages."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {module}"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert (0, "") == (result.returncode, result.stderr)
