"""Hearing of modules right after they ran, and before whoever imports them sees what they hold.

Owns the hook in the import system. Must not know what is done to the modules.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from threading import get_ident
from types import ModuleType
from typing import Any


class ImportWatch(MetaPathFinder):
    """Calls `ran(module)` for every module whose name is wanted: at once if it was imported before, else after it ran.

    Finds nothing by itself: it asks the finders after it, whichever they are, and lets the loader that they come up
    with tell of the module's end. The loader stays what it is, for those who ask it for source or resources.
    """

    def __init__(self, wants: Callable[[str], bool], ran: Callable[[ModuleType], None]) -> None:
        self._wants = wants
        self._ran = ran
        self._searches: set[tuple[int, str]] = set()

    def install(self) -> None:
        """Watch from here on."""
        sys.meta_path.insert(0, self)
        for name, module in list(sys.modules.items()):
            if self._wants(name) and getattr(module, "__spec__", None) is not None:
                self._ran(module)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Return what the other finders find, with a loader that is watched; None where the module is not wanted."""
        search = (get_ident(), fullname)
        # The second condition ends the circle with other hooks of this kind, which ask all finders in their turn.
        if not self._wants(fullname) or search in self._searches:
            return None
        self._searches.add(search)
        try:
            spec = self._ask_others(fullname, path, target)
        finally:
            self._searches.discard(search)
        if spec is not None and spec.loader is not None:
            self._watch(spec.loader)
        return spec

    def _ask_others(self, name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
        for finder in list(sys.meta_path):
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None

    def _watch(self, loader: Loader) -> None:
        execution = getattr(loader, "exec_module", None)
        # Built-in and frozen modules have a class for a loader, one for all of them, and no Python functions to time.
        # Some loaders, such as those of zip files, load many modules: they are watched once.
        if isinstance(loader, type) or (isinstance(execution, _WatchedExecution) and execution.ran == self._ran):
            return
        # A loader of the old kind, or one that takes no attributes, cannot be watched; its module counts as not seen.
        if execution is not None and hasattr(loader, "__dict__"):
            watched = _WatchedExecution(execution, self._wants, self._ran)
            loader.exec_module = watched  # type: ignore[method-assign]


class _WatchedExecution:
    """Stands in for the `exec_module` of one loader."""

    def __init__(
        self, exec_module: Callable[[ModuleType], Any], wants: Callable[[str], bool], ran: Callable[[ModuleType], None]
    ) -> None:
        self._exec_module = exec_module
        self._wants = wants
        self.ran = ran

    def __call__(self, module: ModuleType) -> None:
        self._exec_module(module)
        if self._wants(module.__name__):
            self.ran(module)
