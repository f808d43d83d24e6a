"""What is sent to the servers: the same timings in the words of each, encoded before the clock runs."""

import itertools
import random
import secrets
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import orjson

from benchmarks.server_load import Feed
from chronoprof_sidecar.protocol import DATA_PATH, INGEST_PATH, NANOSECONDS, bucket_bounds, bucket_of
from chronoprof_sidecar.wire.batches import aggregate_durations

_CHANCE: Final = random.Random(1)
_FIRST_BUCKET: Final = bucket_of(0.001)


def name_function(number: int) -> str:
    """Return a name as an endpoint has one."""
    return f"GET /api/v1/resources-{number}/{{id}}"


def encode_sample() -> bytes:
    """Return the body of one sample."""
    return orjson.dumps({"samples": [{"function_name": name_function(0), "duration": _duration(), "error": False}]})


def encode_functions(numbers: Iterable[int], samples: int) -> bytes:
    """Return the body of so many samples of each of these functions, aggregated as the shim does."""
    return _encode({name_function(number): _aggregate(samples) for number in numbers})


def encode_wide_functions(numbers: Iterable[int], buckets: int) -> bytes:
    """Return the body of functions whose histograms have so many buckets, one call in each."""
    indices = range(_FIRST_BUCKET, _FIRST_BUCKET + buckets)
    durations = [sum(bucket_bounds(index)) / 2 for index in indices]
    item = {
        "calls": buckets,
        "total_ns": round(sum(durations) * NANOSECONDS),
        "min_ns": round(durations[0] * NANOSECONDS),
        "max_ns": round(durations[-1] * NANOSECONDS),
        "buckets": list(indices),
        "counts": [1] * buckets,
    }
    return _encode(dict.fromkeys(map(name_function, numbers), item))


def feed_batches(bodies: Iterable[bytes], key: str, *, once: bool = False) -> Feed:
    """Return a sender that ships these bodies in turn, with an id and a sequence number as the shim does."""
    head = f"POST {INGEST_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n".encode()
    head += b"Content-Type: application/json\r\n"
    sender = b'{"client":{"id":"%s","seq":' % secrets.token_hex(8).encode()
    turns = iter(bodies) if once else itertools.cycle(bodies)
    numbers = itertools.count(1)

    def next_request() -> bytes | None:
        body = next(turns, None)
        if body is None:
            return None
        start = b"%s%d}," % (sender, next(numbers))
        return b"%sContent-Length: %d\r\n\r\n%s%s" % (head, len(start) + len(body) - 1, start, body[1:])

    return next_request


def feed_reads(key: str) -> Feed:
    """Return a reader that asks for all rows over and over."""
    request = f"GET {DATA_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\r\n".encode()
    return lambda: request


def feed_pushes(functions: int, instance: int) -> Feed:
    """Return a client of the Pushgateway that pushes a summary of so many functions, replacing its last one.

    Calls and total time alone, two thirds of the bytes that the sidecar gets and no percentiles, in the peer's favour.
    """
    lines = ["# TYPE work_seconds summary"]
    for number in range(functions):
        labels = f'{{function="{name_function(number)}"}}'
        lines += [f"work_seconds_sum{labels} {_duration()}", f"work_seconds_count{labels} 10"]
    body = "".join(f"{line}\n" for line in lines)
    head = f"PUT /metrics/job/bench/instance/{instance} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    request = f"{head}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    return lambda: request


def encode_datagrams(timings: int) -> list[bytes]:
    """Return a hundred datagrams of statsd, with so many timings of ten functions in each."""

    lines = [f"work{number % 10}:{_duration() * 1000:.3f}|ms".encode() for number in range(100 * timings)]
    return [b"\n".join(lines[start : start + timings]) for start in range(0, len(lines), timings)]


def _duration() -> float:
    return _CHANCE.lognormvariate(-5, 1)  # as a web service has them, around 7 ms


def _aggregate(samples: int) -> Any:
    return msgspec.to_builtins(aggregate_durations([_duration() for _ in range(samples)]))


def _encode(functions: dict[str, Any]) -> bytes:
    return orjson.dumps({"service": "shop", "functions": functions, "span_seconds": 1.0})
