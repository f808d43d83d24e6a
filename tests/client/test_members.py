"""Which functions of a module are timed, under which names, and what stays as it is."""

import functools
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from chronoprof_sidecar.client import Profiler
from chronoprof_sidecar.client.instrument import is_timed
from chronoprof_sidecar.client.members import time_members
from chronoprof_sidecar.client.patterns import parse_function_pattern
from tests.client.conftest import MakeProfiler

MODULE = "made_for_test_members"
SOURCE = """
    import asyncio
    import enum
    import functools
    from dataclasses import dataclass
    from os.path import join
    from string import Template

    def undeclared(function):
        def wrapper(*args):
            return function(*args)
        return wrapper

    def plain(): return 1
    def _private(): return 2
    async def coroutine(): return 3
    def generator(): yield 4
    async def async_generator(): yield 5
    alias = plain

    @undeclared
    def decorated(): return 6

    @functools.cache
    def cached(): return 7

    lambda_ = lambda: 8

    class Repo:
        template = Template
        def __init__(self): self.rows = 9
        def load(self): return self.rows
        def _hidden(self): return 10
        @classmethod
        def of_class(cls): return cls.__name__
        @staticmethod
        def of_none(): return 11
        @property
        def size(self): return 12
        class Row:
            def read(self): return 13
    Repo.Row.Repo = Repo
    Other = Repo

    @dataclass
    class Point:
        x: int = 0

    class Color(enum.Enum):
        RED = 1
        def shine(self): return 14

    class Frozen(type):
        def __setattr__(cls, name, value): raise TypeError("frozen")

    class Stone(metaclass=Frozen):
        def roll(self): return 15
"""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module that holds every kind of function."""
    made = sys.modules[MODULE] = ModuleType(MODULE)
    exec(textwrap.dedent(SOURCE), made.__dict__)
    yield made
    del sys.modules[MODULE]


def rows_of(profiler: Profiler) -> list[str]:
    """Return the names under which anything is timed, without the module's own."""
    assert profiler.enabled
    engine = profiler._found["state"].engine
    assert engine is not None
    return sorted(slot.name.removeprefix(f"{MODULE}.") for slot in engine.registry.slots)


@pytest.fixture
def make_timed(module: ModuleType, profiler: Profiler) -> Callable[[str], list[str]]:
    """Time what a pattern names, and return the names of the rows that there are then."""

    def time(name: str) -> list[str]:
        time_members(module, parse_function_pattern(f"{MODULE}:{name}"), profiler)
        return rows_of(profiler)

    return time


REPO = ["Repo.Row.read", "Repo.load", "Repo.of_class", "Repo.of_none"]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("Repo.*", REPO),
        ("Repo.Row.*", ["Repo.Row.read"]),
        ("Repo.__init__", ["Repo.__init__"]),
        ("Repo.__*__", ["Repo.__init__"]),
        ("Repo._*", ["Repo._hidden"]),
        ("_*", ["_private"]),
        ("*generator", ["async_generator", "generator"]),
        ("Color.*", ["Color.shine"]),
        ("Other.*", []),
        ("Point.*", []),
        ("join", ["posixpath.join"]),
        ("decorated", ["decorated"]),
        ("cached", []),
        ("Repo.size", []),
        ("Repo.nothing", []),
        ("nothing.load", []),
        ("plain.nothing", []),
    ],
)
def test_a_pattern_times_what_it_names(make_timed: Callable[[str], list[str]], name: str, rows: list[str]) -> None:
    """Functions and methods of the module's own classes, each under the path at which it stands."""
    assert rows == make_timed(name)


def test_a_star_times_all_that_is_public_and_defined_here(module: ModuleType, profiler: Profiler) -> None:
    """Not what was imported, special, private, a property or made of C; a class that refuses keeps no other from it."""
    with pytest.raises(TypeError, match="frozen"):
        time_members(module, parse_function_pattern(f"{MODULE}:*"), profiler)

    functions = ["alias", "async_generator", "coroutine", "decorated", "generator", "lambda_", "plain", "undeclared"]
    refused = "Stone.roll"
    assert sorted([*functions, *REPO, "Color.shine", refused]) == rows_of(profiler)
    assert is_timed(module.plain)
    assert not is_timed(module.Stone.roll)


def test_everything_still_does_what_it_did(module: ModuleType, make_timed: Callable[[str], list[str]]) -> None:
    """Kinds, signatures and results of functions stay, and so does what holds them."""
    for name in ["p*", "c*", "*generator", "Repo.*"]:
        make_timed(name)
    repo = module.Repo()

    assert [1, 9, "Repo", 11, 12, 13] == [
        module.plain(),
        repo.load(),
        module.Repo.of_class(),
        repo.of_none(),
        repo.size,
        module.Repo.Row().read(),
    ]
    assert inspect.iscoroutinefunction(module.coroutine)
    assert inspect.isasyncgenfunction(module.async_generator)
    assert [4] == list(module.generator())
    assert isinstance(vars(module.Repo)["of_class"], classmethod)
    assert isinstance(vars(module.Repo)["of_none"], staticmethod)
    assert isinstance(vars(module.Repo)["size"], property)


def test_nothing_is_timed_twice(
    module: ModuleType, make_timed: Callable[[str], list[str]], make_profiler: MakeProfiler
) -> None:
    """What overlapping patterns name, and what the module times itself under a name of its own, is left alone."""
    make_timed("plain")
    once = module.plain
    own = make_profiler()
    vars(module)["coroutine"] = own.timed("own name")(module.coroutine)
    vars(module)["generator"] = _over(own.timed(module.generator))
    kept = [module.coroutine, module.generator, once]

    assert ["plain"] == make_timed("plain")
    assert "coroutine" not in make_timed("co*")
    assert "generator" not in make_timed("g*")

    assert kept == [module.coroutine, module.generator, module.plain]


def _over(inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def outer() -> Any:
        return inner()

    return outer


def test_a_pattern_says_whether_it_found_anything(module: ModuleType, make_profiler: MakeProfiler) -> None:
    """Found is also what an exclusion keeps from being timed, and it stays the function that it was."""
    profiler = make_profiler(exclude=[f"{MODULE}.pl*"])
    before = module.plain

    assert time_members(module, parse_function_pattern(f"{MODULE}:plain"), profiler)
    assert not time_members(module, parse_function_pattern(f"{MODULE}:absent"), profiler)
    assert before is module.plain
