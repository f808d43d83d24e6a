"""The functions and methods of a module that a pattern names, and putting timed ones in their place.

Owns the walk through a module's classes and the names of the rows. What is timed is Python functions, class methods and
static methods; properties, callable objects and what is made of C stay as they are.
"""

from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from chronoprof_sidecar.client.instrument import is_timed
from chronoprof_sidecar.client.patterns import FunctionPattern
from chronoprof_sidecar.client.profiler import Profiler

_KINDS: Final = (FunctionType, classmethod, staticmethod)


class Member(NamedTuple):
    """A function where it stands: in a module, or in a class in one."""

    owner: ModuleType | type
    name: str
    path: str


def time_members(module: ModuleType, pattern: FunctionPattern, profiler: Profiler) -> bool:
    """Time what the pattern names in a module, but for what is timed already; say whether it names anything.

    Raises:
        Exception: a class took no new method; everything else is timed.
    """
    found, errors = False, []
    for member in _members(module, pattern):
        found = True
        try:
            _time(module, member, profiler)
        except Exception as error:  # noqa: BLE001 - a class may refuse in any way it likes
            errors.append(error)
    if errors:
        raise errors[0]
    return found


def _members(module: ModuleType, pattern: FunctionPattern) -> Iterator[Member]:
    if pattern.is_literal:
        yield from _named(module, pattern.name)
        return
    for member in _defined_in(module, module, ""):
        if pattern.matches(member.path):
            yield member


def _named(module: ModuleType, path: str) -> Iterator[Member]:
    """Yield the function at a path, wherever it was defined: who spells the name out means what is there."""
    owner: object = module
    *holders, name = path.split(".")
    for holder in holders:
        owner = vars(owner).get(holder)
        if not isinstance(owner, type):
            return
    if isinstance(owner, ModuleType | type) and isinstance(vars(owner).get(name), _KINDS):
        yield Member(owner, name, path)


def _defined_in(module: ModuleType, owner: ModuleType | type, prefix: str) -> Iterator[Member]:
    """Yield the functions below an owner that the module defines, and not what it imported."""
    for name, value in list(vars(owner).items()):
        path = prefix + name
        if isinstance(value, _KINDS):
            if getattr(_function(value), "__module__", None) == module.__name__:
                yield Member(owner, name, path)
        # By its own name alone: under another one, or inside itself, a class would be walked through again.
        elif isinstance(value, type) and (value.__module__, value.__qualname__) == (module.__name__, path):
            yield from _defined_in(module, value, f"{path}.")


def _time(module: ModuleType, member: Member, profiler: Profiler) -> None:
    owner, name, path = member
    target = vars(owner)[name]
    function = _function(target)
    if is_timed(function):
        return
    # A decorator that does not say what it wraps would lend its own name to all that it decorates.
    own_name = getattr(function, "__qualname__", None) == path
    timed = profiler.timed(target) if own_name else profiler.timed(f"{module.__name__}.{path}")(target)
    if timed is not target:
        setattr(owner, name, timed)


def _function(target: Any) -> Callable[..., Any]:
    function: Callable[..., Any] = target.__func__ if isinstance(target, classmethod | staticmethod) else target
    return function
