"""CPU seconds of app and aggregator for a million timed calls until they can be queried, ours and the peers'.

    make bench-client                       # runs this after `bench_client`

Counted is what timing adds: the same calls untimed are taken off. For ours that is the app and the sidecar, until `GET
data` shows every call, percentiles included. For the peers it is the app alone or little more, in their favour:
statsd and DogStatsD send to a socket that throws away, OpenTelemetry to an exporter that does, and only
prometheus_client's own collecting of its processes is included.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.machine import describe_machine
from benchmarks.surroundings import Surroundings, surroundings

OURS: Final = "ours"
TITLES: Final = {
    OURS: "chronoprof-sidecar: app + sidecar",
    "prometheus": "prometheus_client, multiprocess: app + collect",
    "dogstatsd": "DogStatsD, buffered: app",
    "statsd": "statsd: app",
    "opentelemetry": "OpenTelemetry histogram: app",
}
MODULES: Final = {
    "prometheus": "prometheus_client",
    "dogstatsd": "datadog",
    "statsd": "statsd",
    "opentelemetry": "opentelemetry",
}


class Figure(NamedTuple):
    """One app of one round."""

    cpu_seconds: float
    queryable: int


def run_app(name: str, calls: int, around: Surroundings) -> Figure:
    """Run one app to its end, and return what it cost and how many of its calls arrived."""
    sidecar_cpu, sidecar_calls = around.sidecar.cpu_seconds, around.sidecar.calls() if name == OURS else 0
    timings = around.sink.timings
    with TemporaryDirectory() as directory:
        environ = around.environ | ({"PROMETHEUS_MULTIPROC_DIR": directory} if name == "prometheus" else {})
        command = [sys.executable, "-m", "benchmarks.end_to_end_process", name, f"--calls={calls}"]
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True, timeout=300)
    answer = json.loads(done.stdout)
    if name == OURS:
        arrived = around.sidecar.calls() - sidecar_calls
        return Figure(answer["cpu"] + around.sidecar.cpu_seconds - sidecar_cpu, arrived)
    if answer["queryable"] is None:
        return Figure(answer["cpu"], around.sink.timings - timings)
    return Figure(answer["cpu"], answer["queryable"])


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="CPU of app and aggregator per million timed calls.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of 100 000 calls")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=TITLES, help="these apps alone")
    arguments = parser.parse_args(argv)
    rounds, calls = (1, 100_000) if arguments.quick else (arguments.rounds, 1_000_000)
    names = [name for name in arguments.only or TITLES if name == OURS or find_spec(MODULES[name])]
    print(describe_machine(("prometheus_client", "datadog", "opentelemetry-sdk", "statsd")))
    with surroundings() as around:
        figures = [{name: run_app(name, calls, around) for name in names} for _ in range(rounds)]
    _print_table(names, figures, calls)


def _print_table(names: Sequence[str], figures: Sequence[dict[str, Figure]], calls: int) -> None:
    costs = {name: [each[name].cpu_seconds * 1_000_000 / calls for each in figures] for name in names}
    base = statistics.median(costs[OURS]) if OURS in costs else None
    print(f"\n{'CPU seconds per million timed calls':50} {'ratio':>6} {'median':>7} {'min':>7} {'max':>7} {'lost':>8}")
    for name in names:
        median = statistics.median(costs[name])
        ratio = f"{median / base:6.1f}" if base else "      "
        lost = 1 - sum(each[name].queryable for each in figures) / (calls * len(figures))
        shown = f"{median:7.2f} {min(costs[name]):7.2f} {max(costs[name]):7.2f} {lost:8.2%}"
        print(f"{TITLES[name]:50} {ratio} {shown}")


if __name__ == "__main__":
    main()
