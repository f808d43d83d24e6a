"""What an ingest body costs from bytes to the table, as a ratio to `orjson.loads` of the same bytes.

    make bench NAME=bench_wire

Both are measured in turn, round by round, so that a machine whose speed drifts slows both; the median of the rounds'
ratios is printed with the smallest and the largest. No disk and no network take part.
"""

import platform
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from chronoprof_sidecar.domain.table import Placement, Table
from chronoprof_sidecar.wire.batches import aggregate_durations, decode_batch

ROUNDS: Final = 30
SECONDS_A_TURN: Final = 0.02


def make_bodies() -> dict[str, bytes]:
    """Return a body of each form, with durations as a web service has them (lognormal around 7 ms)."""
    chance = random.Random(1)

    def durations(count: int) -> list[float]:
        return [chance.lognormvariate(-5, 1) for _ in range(count)]

    def item() -> Any:
        return msgspec.to_builtins(aggregate_durations(durations(100)))

    samples = [{"function_name": "GET /items/{id}", "duration": each, "error": False} for each in durations(1000)]
    return {
        "functions, 10 of 100 samples": orjson.dumps({"functions": {f"GET /{n}/{{id}}": item() for n in range(10)}}),
        "durations, 10 000 samples": orjson.dumps({"durations": {"GET /items/{id}": durations(10_000)}}),
        "samples, 1000 samples": orjson.dumps({"samples": samples}),
        "samples, 1 sample": orjson.dumps({"samples": samples[:1]}),
    }


def seconds_a_call(call: Callable[[], object]) -> float:
    """Return the seconds of one call, from a turn of calls."""
    calls = 0
    started = time.perf_counter()
    while True:
        call()
        calls += 1
        passed = time.perf_counter() - started
        if passed > SECONDS_A_TURN:
            return passed / calls


def main() -> None:
    """Print the table."""
    print(f"Python {platform.python_version()}, orjson {orjson.__version__}, msgspec {msgspec.__version__}")
    print(f"{'body':30} {'ratio':>6} {'min':>6} {'max':>6} {'µs':>9}")
    for name, body in make_bodies().items():
        table = Table()

        def count(body: bytes = body, table: Table = table) -> None:
            batch = decode_batch(body)
            table.count(Placement(batch.labels), batch.items, 1)

        turns = [(seconds_a_call(count), seconds_a_call(partial(orjson.loads, body))) for _ in range(ROUNDS)]
        ratios = [ours / theirs for ours, theirs in turns]
        microseconds = statistics.median(ours for ours, _ in turns) * 1e6
        print(f"{name:30} {statistics.median(ratios):6.2f} {min(ratios):6.2f} {max(ratios):6.2f} {microseconds:9.1f}")


if __name__ == "__main__":
    main()
