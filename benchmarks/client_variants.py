"""How each library times one function: the registry of what is compared, and nothing of how it is measured.

Each variant takes the function to time and returns the timed one. Peers are set up as their documentation shows for a
web service; the labels they would need to tell functions apart are given beforehand where the library allows it.
"""

import functools
import os
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

Function = Callable[..., Any]


class Variant(NamedTuple):
    """One way to time a function."""

    title: str
    wrap: Callable[[Function], Function]
    package: str | None = None
    """The module it needs."""
    multiprocess: bool = False
    """Whether it needs PROMETHEUS_MULTIPROC_DIR, which must be set before the import."""
    is_async: bool = False


def work(cart: object, quantity: int = 1) -> int:  # noqa: ARG001  the function that is timed: as little as possible
    """Do nothing, with a signature as functions have them."""
    return quantity


async def work_async(cart: object, quantity: int = 1) -> int:  # noqa: ARG001
    """Do nothing, as a coroutine."""
    return quantity


def _own_signature(function: Function) -> Function:
    clock = time.perf_counter

    def timed(cart: object, quantity: int = 1) -> Any:
        started = clock()
        result = function(cart, quantity)
        clock() - started
        return result

    return timed


class _Block:
    """The least that a context manager with a start of its own can be."""

    __slots__ = ("_started",)

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        time.perf_counter() - self._started


def _block(_function: Function) -> Function:
    def timed(cart: object, quantity: int = 1) -> int:  # noqa: ARG001
        with _Block():
            return quantity

    return timed


def _generic(function: Function) -> Function:
    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter_ns()
        result = function(*args, **kwargs)
        time.perf_counter_ns() - started
        return result

    return timed


def _generic_async(function: Callable[..., Awaitable[Any]]) -> Function:
    @functools.wraps(function)
    async def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter_ns()
        result = await function(*args, **kwargs)
        time.perf_counter_ns() - started
        return result

    return timed


def _ours(function: Function) -> Function:
    from chronoprof_sidecar.client import profiler  # noqa: PLC0415  each variant loads what it measures, and no more

    return profiler.timed(function)


def _our_timer(_function: Function) -> Function:
    from chronoprof_sidecar.client import profiler  # noqa: PLC0415

    def timed(cart: object, quantity: int = 1) -> int:  # noqa: ARG001
        with profiler.timer("work"):
            return quantity

    return timed


def _prometheus(kind: str) -> Callable[[Function], Function]:
    def wrap(function: Function) -> Function:
        metric = getattr(import_module("prometheus_client"), kind)("work_seconds", "time", ["function"])
        timed: Function = metric.labels("work").time()(function)
        return timed

    return wrap


def _dogstatsd(**options: Any) -> Callable[[Function], Function]:
    def wrap(function: Function) -> Function:
        client = import_module("datadog.dogstatsd").DogStatsd(
            host="127.0.0.1", port=int(os.environ["BENCH_UDP_PORT"]), **options
        )
        timed: Function = client.timed("work", use_ms=True)(function)
        return timed

    return wrap


def _statsd(function: Function) -> Function:
    client = import_module("statsd").StatsClient("127.0.0.1", int(os.environ["BENCH_UDP_PORT"]))
    timed: Function = client.timer("work")(function)
    return timed


def _otel_histogram(*, exponential: bool) -> Callable[[Function], Function]:
    def wrap(function: Function) -> Function:
        metrics = import_module("opentelemetry.sdk.metrics")
        views = import_module("opentelemetry.sdk.metrics.view")
        readers = import_module("opentelemetry.sdk.metrics.export")
        if exponential:
            aggregation = views.ExponentialBucketHistogramAggregation()
            view = [views.View(instrument_name="work", aggregation=aggregation)]
        else:
            view = []
        reader = readers.InMemoryMetricReader()
        histogram = metrics.MeterProvider([reader], views=view).get_meter("bench").create_histogram("work", unit="s")

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                histogram.record(time.perf_counter() - started, {"function": "work"})

        return timed

    return wrap


def _otel_span(function: Function) -> Function:
    trace = import_module("opentelemetry.sdk.trace")
    export = import_module("opentelemetry.sdk.trace.export")

    class ThrowAway(export.SpanExporter):  # type: ignore[misc, name-defined]
        def export(self, _spans: object) -> Any:
            return export.SpanExportResult.SUCCESS

    provider = trace.TracerProvider()
    provider.add_span_processor(export.BatchSpanProcessor(ThrowAway()))
    timed: Function = provider.get_tracer("bench").start_as_current_span("work")(function)
    return timed


GENERIC: Final = "generic"
FLOOR: Final = "floor"
GENERIC_ASYNC: Final = "generic-async"
BLOCK: Final = "block"
VARIANTS: Final[dict[str, Variant]] = {
    FLOOR: Variant("two clock reads, the function's own signature (floor)", _own_signature),
    GENERIC: Variant("two clock reads, *args, **kwargs (ratio 1)", _generic),
    "timed": Variant("chronoprof-sidecar `timed`", _ours),
    BLOCK: Variant("two clock reads in a context manager that records nothing", _block),
    "timer": Variant("chronoprof-sidecar `timer`", _our_timer),
    "prometheus-summary": Variant("prometheus_client Summary", _prometheus("Summary"), "prometheus_client"),
    "prometheus-histogram": Variant("prometheus_client Histogram", _prometheus("Histogram"), "prometheus_client"),
    "prometheus-summary-mp": Variant(
        "prometheus_client Summary, multiprocess", _prometheus("Summary"), "prometheus_client", multiprocess=True
    ),
    "prometheus-histogram-mp": Variant(
        "prometheus_client Histogram, multiprocess", _prometheus("Histogram"), "prometheus_client", multiprocess=True
    ),
    "dogstatsd-aggregated": Variant(
        "DogStatsD, aggregated, keeps 64 samples",
        _dogstatsd(disable_aggregation=False, disable_buffering=False, max_metric_samples_per_context=64),
        "datadog",
    ),
    "dogstatsd-buffered": Variant("DogStatsD, buffered", _dogstatsd(disable_buffering=False), "datadog"),
    "dogstatsd": Variant("DogStatsD, defaults", _dogstatsd(), "datadog"),
    "otel-explicit": Variant("OpenTelemetry histogram", _otel_histogram(exponential=False), "opentelemetry.sdk"),
    "otel-exponential": Variant(
        "OpenTelemetry exponential histogram", _otel_histogram(exponential=True), "opentelemetry.sdk"
    ),
    "statsd": Variant("statsd, UDP timer", _statsd, "statsd"),
    "otel-span": Variant("OpenTelemetry span, batch processor", _otel_span, "opentelemetry.sdk"),
    GENERIC_ASYNC: Variant("two clock reads, async, *args, **kwargs", _generic_async, is_async=True),
    "timed-async": Variant("chronoprof-sidecar `timed`, async", _ours, is_async=True),
}
