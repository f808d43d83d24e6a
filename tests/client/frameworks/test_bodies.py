from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext

import pytest

from chronoprof_sidecar.client.bodies import TimedAsyncBody, TimedBody
from chronoprof_sidecar.client.exchange import Exchange
from tests.client.frameworks.recording import Recorder, Sample


def chunks(failure: Exception | None) -> Iterator[bytes]:
    """Yield two chunks, and fail between them if told so."""
    yield b"one"
    if failure:
        raise failure
    yield b"two"


async def async_chunks(failure: Exception | None) -> AsyncIterator[bytes]:
    """Yield the same."""
    for chunk in chunks(failure):
        yield chunk


async def read_sync(exchange: Exchange, failure: Exception | None, count: int) -> None:
    """Take so many chunks of a body, and leave it."""
    taken = iter(TimedBody(chunks(failure), exchange))
    for _ in range(count):
        next(taken, None)
    taken.close()  # type: ignore[attr-defined]  # a generator has it


async def read_async(exchange: Exchange, failure: Exception | None, count: int) -> None:
    """Take so many chunks of an asynchronous body, and leave it."""
    taken = aiter(TimedAsyncBody(async_chunks(failure), exchange))
    for _ in range(count):
        await anext(taken, None)
    await taken.aclose()  # type: ignore[attr-defined]  # a generator has it


@pytest.mark.parametrize("read", [read_sync, read_async])
@pytest.mark.parametrize(("failure", "count", "error"), [(None, 3, False), (None, 1, False), (OSError(), 2, True)])
async def test_a_body_ends_its_exchange(
    recorder: Recorder, read: Callable[..., Awaitable[None]], failure: OSError | None, count: int, error: bool
) -> None:
    """A body that fails is an error; one that was read to its end, or left before it, is none; each counts once."""
    exchange = Exchange(recorder, "GET")
    exchange.status = 200
    exchange.template = "/two"
    with pytest.raises(OSError) if failure else nullcontext():
        await read(exchange, failure, count)
    assert [Sample("GET /two", error)] == recorder.samples
