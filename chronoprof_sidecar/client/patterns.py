"""What `--instrument` and `--middleware` take: which functions, and which app objects, of which modules.

Owns the notation, its checks and the rule of what a pattern matches. Must not know how modules are imported or what is
done to what is matched.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, TypeVar

from chronoprof_sidecar.errors import SettingsError

INSTRUMENT: Final = "CHRONOPROF_INSTRUMENT"
MIDDLEWARE: Final = "CHRONOPROF_MIDDLEWARE"

_WILDCARD: Final = re.compile(r"[*?[]")
_GLOB: Final = re.compile(r"[\w*?\[\]!-]+")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FunctionPattern:
    """Functions and methods, by globs: `module:qualname`; `*` also stands for dots."""

    text: str
    module: str
    name: str

    kind = "instrument"

    @property
    def spans_modules(self) -> bool:
        """Whether several modules may match, so that one in which nothing does is no mistake."""
        return _has_wildcard(self.module)

    @property
    def is_literal(self) -> bool:
        """Whether the name is a name, and not a glob."""
        return not _has_wildcard(self.name)

    def wants(self, module: str) -> bool:
        """Say whether the module of that name is meant."""
        return fnmatchcase(module, self.module)

    def matches(self, path: str) -> bool:
        """Say whether a function at `path` in such a module is meant, `Repo.load` for example.

        What begins with an underscore is meant only where the pattern has a part that begins so, too, as a shell's
        `*` and `from module import *` pass over what is hidden: `_*` for private names, `__*` for special methods.
        """
        return fnmatchcase(path, self.name) and all(map(self._shows, path.split(".")))

    def _shows(self, part: str) -> bool:
        if not part.startswith("_"):
            return True
        prefix = "__" if part.startswith("__") and part.endswith("__") else "_"
        return any(glob.startswith(prefix) and fnmatchcase(part, glob) for glob in self.name.split("."))


@dataclass(frozen=True, slots=True)
class AppPath:
    """One app object, or a function that makes one: `module:attribute` or `module:function()`."""

    text: str
    module: str
    attribute: str
    is_call: bool

    kind = "middleware"
    spans_modules = False

    def wants(self, module: str) -> bool:
        """Say whether the module of that name is meant."""
        return module == self.module


def parse_function_pattern(text: str) -> FunctionPattern:
    """Return the pattern that a text says.

    Raises:
        SettingsError: it says none, or one that would take in modules which nobody named.
    """
    module, colon, name = text.partition(":")
    parts = [*module.split("."), *name.split(".")]
    if not colon or not all(map(_GLOB.fullmatch, parts)):
        raise SettingsError(f"instrument {text!r}: expected MODULE:NAME, such as 'shop.services:*' or 'shop.db:Repo.*'")
    _check_package(f"instrument {text!r}", parts[0])
    return FunctionPattern(text, module, name)


def parse_app_path(text: str) -> AppPath:
    """Return the place of an app object that a text says.

    Raises:
        SettingsError: it says none.
    """
    module, colon, called = text.partition(":")
    attribute = called.removesuffix("()")
    parts = [*module.split("."), *attribute.split(".")]
    if not colon or not all(map(str.isidentifier, parts)):
        raise SettingsError(f"middleware {text!r}: expected MODULE:APP, such as 'shop:app' or 'shop:create_app()'")
    _check_package(f"middleware {text!r}", parts[0])
    return AppPath(text, module, attribute, attribute != called)


def split_list(text: str) -> list[str]:
    """Return the items of a comma separated list, without blanks."""
    return [item for part in text.split(",") if (item := part.strip())]


def parse_list(environ: Mapping[str, str], variable: str, parse: Callable[[str], T]) -> list[T]:
    """Return what a variable of the environment lists.

    Raises:
        SettingsError: an item is malformed.
    """
    return [parse(text) for text in split_list(environ.get(variable, ""))]


def _check_package(said: str, package: str) -> None:
    if not package.isidentifier():
        raise SettingsError(f"{said}: the module must begin with the name of a package, without wildcards")
    if package == "__main__":
        raise SettingsError(f"{said}: what a script itself defines cannot be reached, only the modules that it imports")
    if package == "chronoprof_sidecar":
        raise SettingsError(f"{said}: chronoprof does not time itself")


def _has_wildcard(glob: str) -> bool:
    return _WILDCARD.search(glob) is not None
