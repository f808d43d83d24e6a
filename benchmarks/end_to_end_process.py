"""One instrumented app of the end-to-end figure: a million timed calls of ten functions, until they can be queried.

    python -m benchmarks.end_to_end_process ours --calls 1000000

Prints one JSON object: CPU seconds of this process beyond those of the same calls untimed, and the calls that a query
in this process shows (null where the query belongs to another process).
"""

import argparse
import importlib
import json
import os
import re
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any, Final

from benchmarks.client_variants import Function, work

FUNCTIONS: Final = 10

Query = Callable[[], int | None]


def _ours() -> tuple[list[Function], Query]:
    profiler = importlib.import_module("chronoprof_sidecar.client").profiler

    def ship() -> None:
        if not profiler.flush(60.0):
            raise RuntimeError(f"not all calls were acknowledged: {profiler.stats()}")

    return [profiler.timed(f"work {number}")(work) for number in range(FUNCTIONS)], ship


def _prometheus() -> tuple[list[Function], Query]:
    prometheus = importlib.import_module("prometheus_client")
    multiprocess = importlib.import_module("prometheus_client.multiprocess")
    histogram = prometheus.Histogram("work_seconds", "time", ["function"])

    def scrape() -> int:
        registry = prometheus.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        text = prometheus.generate_latest(registry).decode()
        return sum(int(float(count)) for count in re.findall(r"^work_seconds_count\{.*\} (\S+)$", text, re.MULTILINE))

    return [histogram.labels(f"work {number}").time()(work) for number in range(FUNCTIONS)], scrape


def _dogstatsd() -> tuple[list[Function], Query]:
    port = int(os.environ["BENCH_UDP_PORT"])
    client = importlib.import_module("datadog.dogstatsd").DogStatsd("127.0.0.1", port, disable_buffering=False)

    def send_rest() -> None:
        client.flush()

    return [client.timed(f"work{number}", use_ms=True)(work) for number in range(FUNCTIONS)], send_rest


def _statsd() -> tuple[list[Function], Query]:
    client = importlib.import_module("statsd").StatsClient("127.0.0.1", int(os.environ["BENCH_UDP_PORT"]))
    return [client.timer(f"work{number}")(work) for number in range(FUNCTIONS)], lambda: None


def _opentelemetry() -> tuple[list[Function], Query]:
    metrics = importlib.import_module("opentelemetry.sdk.metrics")
    export = importlib.import_module("opentelemetry.sdk.metrics.export")
    exported: list[int] = []

    class ThrowAway(export.MetricExporter):  # type: ignore[misc, name-defined]
        def export(self, metrics_data: Any, timeout_millis: float = 0, **_options: Any) -> Any:  # noqa: ARG002
            points = [
                point
                for resource in metrics_data.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                for point in metric.data.data_points
            ]
            exported[:] = [sum(point.count for point in points)]
            return export.MetricExportResult.SUCCESS

        def force_flush(self, timeout_millis: float = 0) -> bool:  # noqa: ARG002
            return True

        def shutdown(self, _timeout_millis: float = 0, **_options: Any) -> None:
            return

    provider = metrics.MeterProvider([export.PeriodicExportingMetricReader(ThrowAway(), 1000)])
    histogram = provider.get_meter("bench").create_histogram("work", unit="s")

    def instrument(name: str) -> Function:
        attributes = {"function": name}

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                histogram.record(time.perf_counter() - started, attributes)

        return timed

    def flush() -> int:
        provider.force_flush()
        return exported[0]

    return [instrument(f"work {number}") for number in range(FUNCTIONS)], flush


APPS: Final[dict[str, Callable[[], tuple[list[Function], Query]]]] = {
    "ours": _ours,
    "prometheus": _prometheus,
    "dogstatsd": _dogstatsd,
    "statsd": _statsd,
    "opentelemetry": _opentelemetry,
}


def cpu_of(functions: list[Function], calls: int) -> float:
    """Return the CPU seconds that so many calls take, spread over the functions."""
    cart = object()
    before = time.process_time()
    for function in functions:
        for _ in repeat(None, calls // len(functions)):
            function(cart)
    return time.process_time() - before


def main() -> None:
    """Run one app."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=APPS)
    parser.add_argument("--calls", type=int, required=True)
    arguments = parser.parse_args()
    functions, query = APPS[arguments.name]()
    untimed = cpu_of([work] * FUNCTIONS, arguments.calls)
    before = time.process_time()
    cpu_of(functions, arguments.calls)
    queryable = query()
    print(json.dumps({"cpu": time.process_time() - before - untimed, "queryable": queryable}), flush=True)


if __name__ == "__main__":
    main()
