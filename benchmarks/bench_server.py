"""What the sidecar does with one core, beside every peer that is installed, in one interleaved run.

    make bench-server                       # ARGS=--quick for a glance

A round measures everything once; the tables show the median of the rounds with the smallest and the largest, ratios
first: they survive a change of machine. Rates are of one core, that is per second of the server's CPU time, and beside
it by the clock. A server that is not busy all the time waits for its disk, or for a machine that does other things.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final

from benchmarks import server_cases, server_peers
from benchmarks.bench_wire import compare, make_bodies
from benchmarks.machine import describe_loops, describe_machine
from benchmarks.processes import Cores, on_core, pick_cores
from benchmarks.server_bodies import encode_functions, encode_sample, feed_batches, feed_pushes
from benchmarks.server_cases import CONNECTIONS, Scale, Turn
from benchmarks.server_goals import CASES, Round, print_details, print_goals, print_turns

FULL: Final = Scale(seconds=2.0, functions=10_000, buckets=300, sustained_seconds=10.0)
QUICK: Final = Scale(seconds=0.5, functions=1000, buckets=300, sustained_seconds=1.0)
WIRE_ROUNDS: Final = 10
WIRE_FIGURES: Final = {
    "functions, 10 of 100 samples": "wire functions",
    "durations, 10 000 samples": "wire durations",
    "samples, 1000 samples": "wire samples",
}
PUSHERS: Final = 4
"""The Pushgateway checks a push against all that it holds: few workers of a service are in its favour."""
PACKAGES: Final = ("aiohttp", "uvloop", "msgspec", "orjson")

Measures = dict[str, Callable[[], Turn | dict[str, float]]]
"""What a round consists of: each loads one server for a turn, or returns figures of its own."""


def run_rounds(names: Collection[str], rounds: int, scale: Scale) -> list[Round]:
    """Measure all that is named, in turn, round by round."""
    cores = pick_cores()
    done = []
    with on_core(cores.load), prepare(names, cores, scale) as measures:
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
            results = {name: measure() for name, measure in measures.items()}
            turns = {name: result for name, result in results.items() if isinstance(result, Turn)}
            figures = [result for result in results.values() if isinstance(result, dict)]
            done.append(Round(turns, {name: value for each in figures for name, value in each.items()}))
    return done


@contextmanager
def prepare(names: Collection[str], cores: Cores, scale: Scale) -> Iterator[Measures]:
    """Start the servers of these names, yield what measures them, and stop the servers."""
    seconds = scale.seconds
    with ExitStack() as stack:
        directory = stack.enter_context(server_cases.new_directory())
        sidecar = stack.enter_context(server_cases.running_sidecar(directory, cores))
        ours = partial(server_cases.load_sidecar, sidecar, seconds=seconds)
        measures: Measures = {
            "wire": _time_wire,
            "one": partial(ours, encode_sample(), samples=1),
            "thousand": partial(ours, encode_functions(range(10), 100), samples=1000, units=1000),
            "hundred": partial(ours, encode_functions(range(100), 10), samples=1000),
            "acknowledgement": partial(server_cases.time_acknowledgements, sidecar, seconds),
            "restart": partial(server_cases.measure_restart, cores, scale),
            "many": partial(server_cases.measure_many_functions, cores, scale),
        }
        if "floor" in names:
            floor = stack.enter_context(server_cases.running_floor(cores))
            feeds = [feed_batches([encode_sample()], sidecar.key) for _ in range(CONNECTIONS)]
            measures["floor"] = partial(server_cases.load_server, floor.port, floor.pid, feeds, seconds)
        if {"statsd", "statsd 30"} & set(names):
            statsd = stack.enter_context(server_peers.statsd(directory, cores.server))
            measures["statsd"] = partial(server_cases.load_statsd, statsd, 1, seconds)
            measures["statsd 30"] = partial(server_cases.load_statsd, statsd, 30, seconds)
        if "collectd 30" in names:
            collectd = stack.enter_context(server_peers.collectd(directory, cores.server))
            measures["collectd 30"] = partial(server_cases.load_statsd, collectd, 30, seconds)
        if "pushgateway" in names:
            pushgateway = stack.enter_context(server_peers.pushgateway(directory, cores.server))
            feeds = [feed_pushes(100, instance) for instance in range(PUSHERS)]
            measures["pushgateway"] = partial(
                server_cases.load_server, pushgateway.port, pushgateway.pid, feeds, seconds
            )
        yield {name: measure for name, measure in measures.items() if name in names}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    every = (*CASES, "wire", "acknowledgement", "restart", "many")
    parser = argparse.ArgumentParser(description="What the sidecar does with one core, beside its peers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one short round with a tenth of the functions")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=every, help=f"of {', '.join(every)}")
    arguments = parser.parse_args(argv)
    rounds, scale = (1, QUICK) if arguments.quick else (arguments.rounds, FULL)
    print(describe_machine(PACKAGES))
    print(describe_loops())
    names = _leave_out_missing(arguments.only or every)
    print(f"{rounds} rounds, interleaved; turns of {scale.seconds:g} s, the server on one core and the load on another")
    print(f"many wide functions: {scale.functions:,} of {scale.buckets} buckets each")
    done = run_rounds(names, rounds, scale)
    print_goals(done)
    print_turns(done)
    print_details(done)


def _leave_out_missing(names: Sequence[str]) -> list[str]:
    versions = server_peers.installed_peers()
    for peer in dict.fromkeys(case.peer for name in names if (case := CASES.get(name)) and case.peer):
        print(f"{peer} {versions[peer]}" if peer in versions else f"{peer}: left out; `make bench-server` installs it")
    return [name for name in names if name not in CASES or CASES[name].peer in (None, *versions)]


def _time_wire() -> dict[str, float]:
    bodies = make_bodies()
    ratios = {figure: compare(bodies[name], WIRE_ROUNDS)[0] for name, figure in WIRE_FIGURES.items()}
    return {figure: statistics.median(whole for *_, whole in each) for figure, each in ratios.items()}


if __name__ == "__main__":
    main()
