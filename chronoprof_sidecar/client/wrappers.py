"""Wrappers compiled for the timed function's own parameter list.

Owns the source of the hot path. A wrapper with the function's own parameters spares the call the packing and unpacking
of `*args, **kwargs`, which costs about as much as two clock reads. Must not know of names, slots or settings: what a
wrapper reads comes in as closure cells.

In the sources below `$` stands for `_chronoprof_`, so that no parameter can collide. `except:` is bare and everything
else is a closure cell, because a wrapper runs with the globals of its function's module: tools that evaluate
annotations through `__globals__` find there what they would find through the function.
"""

import keyword
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from inspect import CO_VARARGS, CO_VARKEYWORDS
from textwrap import dedent, indent
from types import CellType, CodeType, FunctionType
from typing import Any, Final

FILENAME: Final = "<chronoprof_sidecar timed>"
_PREFIX: Final = "_chronoprof_"
_ANY_PARAMETERS: Final = ("*args, **kwargs", "*args, **kwargs")


class Kind(Enum):
    """How a function runs, and so what one call of it takes."""

    PLAIN = "from the call to the return"
    COROUTINE = "from the first step to the end, waits included"
    GENERATOR = "from the first item asked for to the end or the close, the consumer's work included"
    ASYNC_GENERATOR = "as a generator, waits included"


_PLAIN: Final = """
    def $timed({parameters}):
        {skip}
        $started = $clock()
        try:
            $result = $call({arguments})
        except:
            $failures.append($clock() - $started)
            raise
        $successes.append($clock() - $started)
        return $result
"""
_COROUTINE: Final = """
    async def $timed({parameters}):
        {skip}
        {meter}
        $started = $clock()
        try:
            $result = await {run}$call({arguments}){end}
        except:
            $failures.append($clock() - $started){failed_running}
            raise
        $successes.append($clock() - $started){running}
        return $result
"""
# A consumer that stops asking closes the generator: an end like any other, not an error.
_GENERATOR: Final = """
    def $timed({parameters}):
        {skip}
        $started = $clock()
        try:
            $result = yield from $call({arguments})
        except $closed:
            $successes.append($clock() - $started)
            raise
        except:
            $failures.append($clock() - $started)
            raise
        $successes.append($clock() - $started)
        return $result
"""
# What `yield from` would do, which the language does not have for async generators.
_ASYNC_GENERATOR: Final = """
    async def $timed({parameters}):
        {meter}
        $ok, $bad, $running_ok, $running_bad = $successes, $failures, $running_successes, $running_failures
        {skip}
        $started = $clock()
        try:
            $inner = $call({arguments})
            $item = await {run}$inner.__anext__(){end}
            while True:
                $error = None
                try:
                    $sent = yield $item
                except $closed:
                    await {run}$inner.aclose(){end}
                    raise
                except $any as $caught:
                    $error = $caught
                if $error is None:
                    $item = await {run}$inner.asend($sent){end}
                else:
                    $item = await {run}$inner.athrow($error){end}
        except $exhausted:
            $ok.append($clock() - $started){running_agen}
        except $closed:
            $ok.append($clock() - $started){running_agen}
            raise
        except:
            $bad.append($clock() - $started){failed_running_agen}
            raise
"""
_SOURCES: Final[Mapping[Kind, str]] = {
    Kind.PLAIN: _PLAIN,
    Kind.COROUTINE: _COROUTINE,
    Kind.GENERATOR: _GENERATOR,
    Kind.ASYNC_GENERATOR: _ASYNC_GENERATOR,
}
# One call in n is timed, by chance; the others go straight through. An async generator cannot hand over to another, so
# there the sinks are exchanged.
_SKIP_ALL_BUT_SOME: Final[Mapping[Kind, str]] = {
    Kind.PLAIN: "if $random() >= $rate: return $call({arguments})",
    Kind.COROUTINE: "if $random() >= $rate: return await $call({arguments})",
    Kind.GENERATOR: "if $random() >= $rate: return (yield from $call({arguments}))",
    Kind.ASYNC_GENERATOR: "if $random() >= $rate: $ok = $bad = $running_ok = $running_bad = $void",
}
_WITH_METER: Final[Mapping[str, str]] = {
    "meter": "$meter = $make_meter()",
    "run": "$meter.run(",
    "end": ")",
    "running": "; $running_successes.append($meter.seconds)",
    "failed_running": "; $running_failures.append($meter.seconds)",
    "running_agen": "; $running_ok.append($meter.seconds)",
    "failed_running_agen": "; $running_bad.append($meter.seconds)",
}
_WITHOUT_METER: Final[Mapping[str, str]] = dict.fromkeys(_WITH_METER, "") | {"meter": "pass"}
_CELLS: Final = (
    "any",
    "call",
    "clock",
    "closed",
    "exhausted",
    "failures",
    "make_meter",
    "random",
    "rate",
    "running_failures",
    "running_successes",
    "successes",
    "void",
)


def parameter_lists(function: FunctionType) -> tuple[str, str]:
    """Return the function's parameters, and the arguments that pass each of them on, as source text.

    Defaults are left out: `build_wrapper` takes over the very objects. Where a parameter's name cannot be written down
    (functions made from bytecode), both take anything.
    """
    code = function.__code__
    names = list(code.co_varnames)
    positional, names = names[: code.co_argcount], names[code.co_argcount :]
    keyword_only, names = names[: code.co_kwonlyargcount], names[code.co_kwonlyargcount :]
    variadic = names.pop(0) if code.co_flags & CO_VARARGS else None
    keywords = names.pop(0) if code.co_flags & CO_VARKEYWORDS else None
    used = [*positional, *keyword_only, *filter(None, (variadic, keywords))]
    if not all(name.isidentifier() and not keyword.iskeyword(name) and _PREFIX not in name for name in used):
        return _ANY_PARAMETERS
    parameters, arguments = list(positional), list(positional)
    if code.co_posonlyargcount:
        parameters.insert(code.co_posonlyargcount, "/")
    if variadic is not None:
        parameters.append(f"*{variadic}")
        arguments.append(f"*{variadic}")
    elif keyword_only:
        parameters.append("*")
    parameters += keyword_only
    arguments += [f"{name}={name}" for name in keyword_only]
    if keywords is not None:
        parameters.append(f"**{keywords}")
        arguments.append(f"**{keywords}")
    return ", ".join(parameters), ", ".join(arguments)


def build_wrapper(
    target: Callable[..., Any], kind: Kind, cells: Mapping[str, CellType], *, sampled: bool, split: bool
) -> FunctionType:
    """Return a wrapper around the target, with its parameters and defaults but not yet its name and documentation.

    `cells` holds what the wrapper reads, by the names in `_CELLS`; unused ones may be missing.
    """
    own = target if isinstance(target, FunctionType) else None
    parameters, arguments = parameter_lists(own) if own else _ANY_PARAMETERS
    code = _compile(kind, parameters, arguments, sampled, split)
    closure = tuple(cells[name.removeprefix(_PREFIX)] for name in code.co_freevars)
    name = getattr(target, "__name__", type(target).__name__)
    code = code.replace(co_name=name, co_qualname=getattr(target, "__qualname__", name))
    wrapper = FunctionType(code, own.__globals__ if own else {}, name, own.__defaults__ if own else None, closure)
    if own:
        wrapper.__kwdefaults__ = own.__kwdefaults__
    return wrapper


@lru_cache(maxsize=1024)
def _compile(kind: Kind, parameters: str, arguments: str, sampled: bool, split: bool) -> CodeType:
    """Return the code of a wrapper, whose free variables are among `_CELLS`."""
    source = _SOURCES[kind].format(
        parameters=parameters,
        arguments=arguments,
        skip=_SKIP_ALL_BUT_SOME[kind].format(arguments=arguments) if sampled else "pass",
        **(_WITH_METER if split else _WITHOUT_METER),
    )
    binder = f"def $bind({', '.join('$' + cell for cell in _CELLS)}):\n" + indent(dedent(source), "    ")
    module = compile(binder.replace("$", _PREFIX), FILENAME, "exec", dont_inherit=True)
    return _inner_code(_inner_code(module))


def _inner_code(code: CodeType) -> CodeType:
    return next(constant for constant in code.co_consts if isinstance(constant, CodeType))
