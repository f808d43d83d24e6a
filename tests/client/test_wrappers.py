import inspect
from collections.abc import Callable
from types import CellType, FunctionType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.client.wrappers import Kind, build_wrapper, parameter_lists


def wrap(target: Callable[..., Any]) -> tuple[FunctionType, list[float], list[float]]:
    successes: list[float] = []
    failures: list[float] = []
    ticks = iter(range(1_000_000))
    cells = {
        "call": CellType(target),
        "clock": CellType(lambda: float(next(ticks))),
        "successes": CellType(successes),
        "failures": CellType(failures),
    }
    return build_wrapper(target, Kind.PLAIN, cells, sampled=False, split=False), successes, failures


def everything(a: Any, b: Any = 2, /, c: Any = 3, *rest: Any, d: Any, e: Any = 5, **others: Any) -> tuple[Any, ...]:
    return a, b, c, rest, d, e, others


def no_defaults(a: Any, b: Any) -> tuple[Any, ...]:
    return a, b


def keywords_only(*, a: Any, b: Any = (1,)) -> tuple[Any, ...]:
    return a, b


def positionals_only(a: Any, b: Any = None, /) -> tuple[Any, ...]:
    return a, b


def awkward_names(_started: Any, result: Any = 1, *, clock: Any = 2, self: Any = 3) -> tuple[Any, ...]:
    return _started, result, clock, self


def outcome(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except TypeError:
        return TypeError


@given(
    function=st.sampled_from([everything, no_defaults, keywords_only, positionals_only, awkward_names]),
    args=st.lists(st.integers(), max_size=5),
    kwargs=st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", "x", "clock", "self", "result"]), st.integers()),
)
def test_a_wrapper_takes_what_the_function_takes(
    function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> None:
    """For any arguments the wrapper returns what the function returns, or refuses as it refuses."""
    wrapper, _, _ = wrap(function)

    assert outcome(function, args, kwargs) == outcome(wrapper, args, kwargs)


@pytest.mark.parametrize("function", [everything, no_defaults, keywords_only, positionals_only, awkward_names])
def test_a_wrapper_has_the_functions_own_parameters(function: FunctionType) -> None:
    """Not only the signature as told by `__wrapped__` but the code itself has the same parameters and defaults."""
    wrapper, _, _ = wrap(function)

    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters(function)]
    assert bare == parameters(wrapper)


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, follow_wrapped=False).parameters.values())


def test_defaults_are_the_very_same_objects() -> None:
    """A default that is a mutable object is shared with the function, not copied."""
    default: list[int] = []

    def collect(item: int, into: list[int] = default) -> list[int]:
        into.append(item)
        return into

    wrapper, _, _ = wrap(collect)

    assert wrapper(1) is default


def test_success_and_failure_are_timed_apart() -> None:
    """A return goes to one buffer and an exception to the other, each with its own duration."""

    def fail(error: BaseException | None) -> None:
        if error:
            raise error

    wrapper, successes, failures = wrap(fail)
    wrapper(None)
    for error in (ValueError("x"), KeyboardInterrupt(), SystemExit()):
        with pytest.raises(type(error)):
            wrapper(error)

    assert ([1.0], [1.0, 1.0, 1.0]) == (successes, failures)


def test_globals_are_the_functions() -> None:
    """Annotations that are evaluated through the wrapper's globals find the names of the function's module."""
    wrapper, _, _ = wrap(everything)

    assert everything.__globals__ is wrapper.__globals__


def test_unwritable_parameters_fall_back() -> None:
    """A function whose parameters cannot be written down in source is still called rightly."""
    template = everything.__code__
    names = ("not-a-name", *template.co_varnames[1:])
    odd = FunctionType(template.replace(co_varnames=names), {}, "odd", (2, 3), None)
    odd.__kwdefaults__ = {"e": 5}

    assert ("*args, **kwargs", "*args, **kwargs") == parameter_lists(odd)
    assert (1, 2, 3, (), 4, 5, {}) == wrap(odd)[0](1, d=4)


@pytest.mark.parametrize("target", [len, str.upper, "abc".__add__])
def test_builtins_are_timed_too(target: Callable[..., Any]) -> None:
    """What is not a Python function is called with whatever comes."""
    wrapper, successes, _ = wrap(target)

    assert target("x") == wrapper("x")
    assert 1 == len(successes)
