import asyncio
import copy
import inspect
import pickle
import random
import sys
import types
import typing
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from functools import partial
from typing import Any

import pytest

from chronoprof_sidecar.client.buffers import Registry, Slot
from chronoprof_sidecar.client.instrument import RUNNING_SUFFIX, default_name, instrument
from chronoprof_sidecar.client.timing import Timing


@pytest.fixture
def registry() -> Registry:
    """A registry whose buffers nobody empties."""
    return Registry(sample_every=1, exclude=["excluded.*"], rouse=Slot.attend, random=random.random)


def timed(registry: Registry, target: Any, chance: Callable[[], float] = lambda: 0.0, **timing: Any) -> Any:
    return instrument(target, Timing(**{"name": "timed", **timing}), registry, chance)


def counted(registry: Registry, name: str = "timed", sample_every: int = 1) -> tuple[int, int]:
    slot = registry.slot(name, sample_every)
    return len(slot.successes), len(slot.failures)


# --- nothing else changes -------------------------------------------------------------------------------------------


class Shop:
    """Has every kind of method."""

    def method(self, item: "int", *, times: int = 1) -> tuple["Shop", int]:
        """Multiply."""
        return self, item * times

    @classmethod
    def of_class(cls, item: int) -> tuple[type, int]:
        return cls, item

    @staticmethod
    def of_none(item: int) -> int:
        return item

    async def coroutine(self) -> "Shop":
        return self


def plain(a: "Shop", b: int = 2) -> tuple["Shop", int]:
    """Say what it does."""
    return a, b


def generator(limit: int) -> Generator[int, Any, str]:
    got = []
    for i in range(limit):
        got.append((yield i))  # noqa: PERF401 - what is sent in is collected
    return f"got {got}"


async def coroutine(delay: float = 0.0) -> float:
    await asyncio.sleep(delay)
    return delay


async def async_generator(limit: int) -> AsyncGenerator[Any, Any]:
    for i in range(limit):
        try:
            sent = yield i
        except KeyError as error:
            sent = error
        if sent is not None:
            yield ("echo", sent)


@pytest.mark.parametrize("function", [plain, generator, coroutine, async_generator])
def test_a_timed_function_looks_like_itself(registry: Registry, function: Callable[..., Any]) -> None:
    """Names, documentation, signature, hints and kind stay what they were."""
    wrapper = timed(registry, function)

    assert wrapper is not function
    for face in (
        lambda f: (f.__name__, f.__qualname__, f.__module__, f.__doc__),
        lambda f: (f.__code__.co_name, f.__code__.co_qualname),
        inspect.signature,
        typing.get_type_hints,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        inspect.isfunction,
    ):
        assert face(function) == face(wrapper)
    assert function is inspect.unwrap(wrapper)


def test_a_timed_function_pickles_by_its_name(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timed function travels to another process as any function does."""
    wrapper = timed(registry, plain)
    monkeypatch.setattr(sys.modules[__name__], "plain", wrapper)

    assert wrapper is pickle.loads(pickle.dumps(wrapper))
    assert wrapper is copy.deepcopy(wrapper)


def test_methods_of_every_kind(registry: Registry) -> None:
    """Timed in a class body or on a class, methods bind as they did, and keep their binding's kind."""
    for name in ("method", "of_class", "of_none"):
        timed_method = timed(registry, Shop.__dict__[name])
        assert type(timed_method) is type(Shop.__dict__[name])
    timed_shop = type(
        "TimedShop", (Shop,), {n: timed(registry, Shop.__dict__[n]) for n in ("method", "of_class", "of_none")}
    )
    shop: Any = timed_shop()

    assert (shop, 6) == shop.method(3, times=2)
    assert (timed_shop, 3) == shop.of_class(3)
    assert 3 == timed_shop.of_none(3)  # type: ignore[attr-defined]
    assert (3, 0) == counted(registry)


def test_partials_and_callable_objects(registry: Registry) -> None:
    """Whatever can be called can be timed, also where calling it makes a coroutine."""

    class Handler:
        async def __call__(self, item: int) -> int:
            return item

    assert 5 == timed(registry, partial(max, 3))(5)
    assert 5 == asyncio.run(timed(registry, Handler())(5))
    assert (2, 0) == counted(registry)


def test_old_style_coroutines(registry: Registry) -> None:
    """A generator that `types.coroutine` made awaitable stays awaitable."""

    @types.coroutine
    def pause() -> Generator[None, None, int]:
        yield
        return 7

    async def main() -> int:
        result: int = await timed(registry, pause)()
        return result

    assert 7 == asyncio.run(main())
    assert (1, 0) == counted(registry)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (plain, f"{__name__}.plain"),
        (Shop.method, f"{__name__}.Shop.method"),
        (partial(partial(Shop.of_none, 1)), f"{__name__}.Shop.of_none"),
        (Shop(), f"{__name__}.Shop"),
    ],
)
def test_default_names(target: Callable[..., Any], name: str) -> None:
    """Without a name of its own a function is counted as `module.qualname`."""
    assert name == default_name(target)


def test_excluded_functions_are_left_alone(registry: Registry) -> None:
    """A function whose name is excluded comes back as it is."""
    assert plain is timed(registry, plain, name="excluded.plain")
    method = Shop.__dict__["of_class"]
    assert method is timed(registry, method, name="excluded.method")


def test_instrumenting_twice_counts_once(registry: Registry) -> None:
    """A function that is timed under a name already comes back as it is; under another name it is timed again."""
    once = timed(registry, plain)
    assert once is timed(registry, once)

    twice = timed(registry, once, name="outer")
    twice(1)
    assert [(1, 0), (1, 0)] == [counted(registry, "timed"), counted(registry, "outer")]


# --- coroutines -----------------------------------------------------------------------------------------------------


async def test_coroutines_are_timed_to_their_end(registry: Registry) -> None:
    """A coroutine counts when it ends, not when it is made."""
    made = timed(registry, coroutine)(0.0)
    assert (0, 0) == counted(registry)

    assert 0.0 == await made
    assert (1, 0) == counted(registry)


async def test_cancellation_is_an_error(registry: Registry) -> None:
    """A cancelled coroutine counts as an error, and is cancelled."""
    task = asyncio.create_task(timed(registry, coroutine)(60.0))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert (0, 1) == counted(registry)


# --- generators -----------------------------------------------------------------------------------------------------


def test_generators_pass_everything_through(registry: Registry) -> None:
    """What is sent in arrives, what comes out comes out, and the end counts."""
    running = timed(registry, generator)(2)
    assert [0, 1] == [next(running), running.send("x")]
    assert (0, 0) == counted(registry)

    with pytest.raises(StopIteration, match=r"got \['x', 'y'\]"):
        running.send("y")
    assert (1, 0) == counted(registry)


def test_generators_that_are_closed_or_fail(registry: Registry) -> None:
    """A consumer that stops early is no error; an exception is."""
    closed = timed(registry, generator)(2)
    next(closed)
    closed.close()
    assert (1, 0) == counted(registry)

    failing = timed(registry, generator)(2)
    next(failing)
    with pytest.raises(ValueError, match="thrown"):
        failing.throw(ValueError("thrown"))
    assert (1, 1) == counted(registry)


@pytest.mark.parametrize("split", [False, True])
async def test_async_generators_pass_everything_through(registry: Registry, split: bool) -> None:
    """Items, values sent in, exceptions thrown in and the end are those of the function."""
    running = timed(registry, async_generator, split=split)(3)
    error = KeyError("thrown")
    seen = [
        await anext(running),
        await running.asend("x"),
        await anext(running),
        await running.athrow(error),
        *[item async for item in running],
    ]

    assert [0, ("echo", "x"), 1, ("echo", error), 2] == seen
    assert (1, 0) == counted(registry)


@pytest.mark.parametrize("split", [False, True])
async def test_async_generators_that_are_closed_or_fail(registry: Registry, split: bool) -> None:
    """A consumer that stops early is no error, and the function's own clean-up runs; an exception is an error."""
    cleaned = []

    async def careful() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    closed = timed(registry, careful, split=split)()
    assert 1 == await anext(closed)
    await closed.aclose()
    assert ([True], (1, 0)) == (cleaned, counted(registry))

    failing = timed(registry, careful, split=split)()
    await anext(failing)
    with pytest.raises(ValueError, match="thrown"):
        await failing.athrow(ValueError("thrown"))
    assert ([True, True], (1, 1)) == (cleaned, counted(registry))


# --- sampling and splitting -----------------------------------------------------------------------------------------


async def run_each_kind(registry: Registry, **timing: Any) -> list[Any]:
    def wrap(function: Callable[..., Any]) -> Any:
        return timed(registry, function, **timing)

    items = [item async for item in wrap(async_generator)(2)]
    return [wrap(plain)(1), list(wrap(generator)(2)), await wrap(coroutine)(), items]


@pytest.mark.parametrize(("chance", "samples"), [(0.0999, 4), (0.1, 0), (0.9999, 0)])
async def test_one_call_in_n_is_timed(registry: Registry, chance: float, samples: int) -> None:
    """A call is timed when chance says so, whatever kind it is of, and works the same when it is not."""
    results = await run_each_kind(registry, sample_every=10, chance=lambda: chance)

    assert [(1, 2), [0, 1], 0.0, [0, 1]] == results
    assert (samples, 0) == counted(registry, sample_every=10)


async def test_a_function_may_be_sampled_at_its_own_rate(registry: Registry) -> None:
    """One function's own rate leaves the others' alone, also under the same name."""
    timed(registry, plain, sample_every=10)(1)
    timed(registry, plain)(1)

    assert [(1, 0), (1, 0)] == [counted(registry, sample_every=10), counted(registry)]


@pytest.mark.parametrize("function", [coroutine, async_generator])
async def test_split_adds_a_row(registry: Registry, function: Callable[..., Any]) -> None:
    """`split=True` counts each call in a second row, too, with at most the time of the first."""
    made = timed(registry, function, split=True)(1)
    if inspect.isasyncgen(made):
        assert [0] == [item async for item in made]
    else:
        await made

    assert [(1, 0), (1, 0)] == [counted(registry), counted(registry, "timed" + RUNNING_SUFFIX)]
    whole, running = registry.slot("timed").successes, registry.slot("timed" + RUNNING_SUFFIX).successes
    assert running[0] <= whole[0]


async def test_split_counts_errors_in_both_rows(registry: Registry) -> None:
    """A coroutine that raises is an error in both rows."""

    async def fail() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await timed(registry, fail, split=True)()

    assert [(0, 1), (0, 1)] == [counted(registry), counted(registry, "timed" + RUNNING_SUFFIX)]


def test_split_means_nothing_to_plain_functions(registry: Registry) -> None:
    """A function that never waits has no second row."""
    timed(registry, plain, split=True)(1)

    assert ["timed"] == [slot.name for slot in registry.slots]


def test_awaitables_that_are_not_coroutines_can_be_split(registry: Registry) -> None:
    """An awaitable object's `__await__` is driven like a coroutine."""

    class Handler:
        async def __call__(self) -> int:
            return await self.later()

        def later(self) -> Awaitable[int]:
            future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, 9)
            return future

    assert 9 == asyncio.run(timed(registry, Handler(), split=True)())
