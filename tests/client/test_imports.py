"""Modules are heard of right after they ran, and imports are what they were without that."""

import importlib
import importlib.util
import inspect
import pkgutil
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from chronoprof_sidecar.client.imports import ImportWatch

PACKAGE = "made_for_test_imports"
Watch = Callable[..., list[str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of a package, from which modules can be imported and of which none is afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text("ran = ['package']\n")
    (package / "module.py").write_text("ran = ['module']\n")
    (package / "importing.py").write_text(f"from {PACKAGE}.module import ran\nseen = list(ran)\n")
    (package / "broken.py").write_text("raise LookupError\n")
    (package / "data.txt").write_text("data")
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watch the modules named, and return the list of those that ran; each is marked in its `ran`."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))

    def begin(*names: str) -> list[str]:
        seen: list[str] = []

        def mark(module: ModuleType) -> None:
            seen.append(module.__name__)
            if hasattr(module, "ran"):
                module.ran.append("marked")

        ImportWatch(lambda name: name in names, mark).install()
        return seen

    return begin


def test_a_module_is_heard_of_before_its_importer_goes_on(place: Path, watch: Watch) -> None:
    """Whoever imports from a module gets what the watch has made of it."""
    seen = watch(f"{PACKAGE}.module")

    importing = importlib.import_module(f"{PACKAGE}.importing")

    assert [f"{PACKAGE}.module"] == seen
    assert ["module", "marked"] == importing.seen


def test_a_module_that_is_imported_already_is_heard_of_at_once(place: Path, watch: Watch) -> None:
    """It has run before."""
    module = importlib.import_module(f"{PACKAGE}.module")

    assert [f"{PACKAGE}.module"] == watch(f"{PACKAGE}.module")
    assert ["module", "marked"] == module.ran


def test_a_module_that_is_loaded_again_is_heard_of_again(place: Path, watch: Watch) -> None:
    """Its functions are new ones."""
    seen = watch(f"{PACKAGE}.module")

    importlib.reload(importlib.import_module(f"{PACKAGE}.module"))

    assert [f"{PACKAGE}.module"] * 2 == seen


def test_a_module_that_fails_is_not_heard_of(place: Path, watch: Watch) -> None:
    """Its error is the one that it raised."""
    seen = watch(f"{PACKAGE}.broken")

    with pytest.raises(LookupError):
        importlib.import_module(f"{PACKAGE}.broken")

    assert [] == seen


def test_a_module_that_is_missing_is_missing(place: Path, watch: Watch) -> None:
    """The error names it, as always."""
    watch(f"{PACKAGE}.absent")

    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module(f"{PACKAGE}.absent")

    assert f"{PACKAGE}.absent" == missing.value.name


def test_looking_for_a_module_does_not_run_it(place: Path, watch: Watch) -> None:
    """`find_spec` finds, and nothing is heard."""
    seen = watch(f"{PACKAGE}.module")

    spec = importlib.util.find_spec(f"{PACKAGE}.module")

    assert spec is not None
    assert [] == seen


def test_source_and_data_of_a_watched_module_are_there(place: Path, watch: Watch) -> None:
    """The loader is the one that Python chose, with all that it can do."""
    watch(PACKAGE, f"{PACKAGE}.module")
    module = importlib.import_module(f"{PACKAGE}.module")

    assert "ran = ['module']\n" == inspect.getsource(module)
    assert b"data" == pkgutil.get_data(PACKAGE, "data.txt")
    assert importlib.machinery.SourceFileLoader is type(module.__loader__)


def test_modules_in_a_zip_file_are_heard_of_once_each(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    """One loader loads them all."""
    (place / "__init__.py").write_text(f"__path__.append({str(tmp_path / 'packed.zip')!r})\n")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        packed.writestr("one.py", f"import {PACKAGE}.two\nran = []")
        packed.writestr("two.py", "ran = []")
        packed.writestr("three.py", "ran = []")
    seen = watch(f"{PACKAGE}.one", f"{PACKAGE}.two")

    for name in ("one", "three"):
        importlib.import_module(f"{PACKAGE}.{name}")

    assert [f"{PACKAGE}.two", f"{PACKAGE}.one"] == seen


def test_built_in_modules_are_left_alone(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share one loader, which nobody may change, and hold no Python functions."""
    before = dict(vars(importlib.machinery.BuiltinImporter))
    monkeypatch.delitem(sys.modules, "faulthandler")
    watch("faulthandler")

    importlib.import_module("faulthandler")

    assert before == dict(vars(importlib.machinery.BuiltinImporter))


class AskingFinder(MetaPathFinder):
    """A hook of another tool, that asks all finders in its turn, as this project's does."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._asking = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
        /,
    ) -> ModuleSpec | None:
        """Ask everybody else."""
        if self._asking or not fullname.startswith(PACKAGE):
            return None
        self._asking = True
        try:
            self.asked.append(fullname)
            return importlib.util.find_spec(fullname)
        finally:
            self._asking = False


@pytest.mark.parametrize("place_of_other", [0, 1])
def test_hooks_of_other_tools_work_beside_it(place: Path, watch: Watch, place_of_other: int) -> None:
    """Each asks the other, and both see the module."""
    seen = watch(f"{PACKAGE}.module")
    other = AskingFinder()
    sys.meta_path.insert(place_of_other, other)

    importlib.import_module(f"{PACKAGE}.module")

    assert [f"{PACKAGE}.module"] == seen
    assert f"{PACKAGE}.module" in other.asked


def test_two_watches_hear_of_the_same_module(place: Path, watch: Watch) -> None:
    """Neither asks the other for ever, and neither hides the module from the other."""
    first, second = watch(f"{PACKAGE}.module"), watch(f"{PACKAGE}.module")

    importlib.import_module(f"{PACKAGE}.module")

    assert [[f"{PACKAGE}.module"]] * 2 == [first, second]


def test_threads_that_import_the_same_module_get_the_watched_one(place: Path, watch: Watch) -> None:
    """Of several threads none sees the module before it was heard of."""
    seen = watch(f"{PACKAGE}.module")
    found: list[list[str]] = []
    together = threading.Barrier(8)

    def load() -> None:
        together.wait(10)
        found.append(list(importlib.import_module(f"{PACKAGE}.module").ran))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert [["module", "marked"]] * 8 == found
    assert [f"{PACKAGE}.module"] == seen
