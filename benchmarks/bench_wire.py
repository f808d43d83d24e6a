"""What an ingest body costs from bytes to the table, as a ratio to `orjson.loads` of the same bytes.

    make bench NAME=bench_wire

Three steps, each with those before it: the typed decode alone, then judging every item, then merging it into its row.
All are measured in turn, round by round, in CPU time, so that a machine whose speed drifts or that others use slows all
of them; medians of the rounds' ratios are printed, and of the whole the smallest and the largest. No disk and no
network take part.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import orjson

from benchmarks.machine import describe_loops, describe_machine
from chronoprof_sidecar.domain.table import Placement, Table
from chronoprof_sidecar.wire.batches import aggregate_durations, decode_batch
from chronoprof_sidecar.wire.schema import decode_body

ROUNDS: Final = 30
SECONDS_A_TURN: Final = 0.01


def make_bodies() -> dict[str, bytes]:
    """Return bodies of each form, with durations as a web service has them (lognormal around 7 ms)."""
    chance = random.Random(1)

    def durations(count: int, spread: float = 1) -> list[float]:
        return [chance.lognormvariate(-5, spread) for _ in range(count)]

    def functions(count: int, samples: int, spread: float = 1) -> bytes:
        items: dict[str, Any] = {
            f"GET /{n}/{{id}}": msgspec.to_builtins(aggregate_durations(durations(samples, spread)))
            for n in range(count)
        }
        return orjson.dumps({**_ENVELOPE, "functions": items})

    samples = [{"function_name": "GET /items/{id}", "duration": each, "error": False} for each in durations(1000)]
    return {
        "functions, 10 of 100 samples": functions(10, 100),
        "functions, 100 of 20 samples": functions(100, 20),
        "functions, 100 of 20 buckets": functions(100, 1000, 0.05),
        "functions, 100 of 1 sample": functions(100, 1),
        "functions, 1 of 300 buckets": functions(1, 800),
        "durations, 10 000 samples": orjson.dumps({"durations": {"GET /items/{id}": durations(10_000)}}),
        "samples, 1000 samples": orjson.dumps({"samples": samples}),
        "samples, 1 sample": orjson.dumps({"samples": samples[:1]}),
    }


_ENVELOPE: Final = {
    "client": {"id": "5f1c0a9be2d74c38", "seq": 17},
    "service": "shop",
    "version": "2026.11.3",
    "instance": "web-1:412",
}


def seconds_a_call(call: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, from a turn of calls."""
    calls = 0
    started = time.thread_time()
    while True:
        call()
        calls += 1
        passed = time.thread_time() - started
        if passed > SECONDS_A_TURN:
            return passed / calls


def compare(body: bytes, rounds: int) -> tuple[list[list[float]], float]:
    """Return each round's ratios (decode, + judge, + merge) to `orjson.loads`, and the whole's median in seconds."""
    table = Table()

    def count() -> None:
        batch = decode_batch(body)
        table.count(Placement(batch.labels), batch.items, 1)

    steps = (partial(orjson.loads, body), partial(decode_body, body), partial(decode_batch, body), count)
    turns = [[seconds_a_call(step) for step in steps] for _ in range(rounds)]
    ratios = [[seconds / theirs for seconds in ours] for theirs, *ours in turns]
    return ratios, statistics.median(turn[-1] for turn in turns)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="what an ingest body costs, as a ratio to orjson.loads")
    parser.add_argument("--quick", action="store_true", help="three rounds, for a glance")
    rounds = 3 if parser.parse_args(arguments).quick else ROUNDS
    print(describe_machine(["orjson", "msgspec"]))
    print(describe_loops())
    columns = ("bytes", "buckets", "decode", "+judge", "+merge", "min", "max", "µs")
    print(f"{'body':30}" + "".join(f"{column:>8}" for column in columns))
    for name, body in make_bodies().items():
        buckets = sum(len(item.buckets) for _, item in decode_batch(body).items)
        ratios, seconds = compare(body, rounds)
        decode, judge, merge = (statistics.median(step) for step in zip(*ratios, strict=True))
        whole = [each[-1] for each in ratios]
        print(
            f"{name:30}{len(body):8}{buckets:8}{decode:8.2f}{judge:8.2f}{merge:8.2f}"
            f"{min(whole):8.2f}{max(whole):8.2f}{seconds * 1e6:8.0f}"
        )


if __name__ == "__main__":
    main()
