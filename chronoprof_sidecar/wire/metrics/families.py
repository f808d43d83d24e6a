"""The metric families of `/metrics`: every name, label and help text that the sidecar exposes.

Owns what is told. In which form, `text` and `protobuf` know.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from prometheus_client import ProcessCollector

from chronoprof_sidecar import __version__
from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.figures import StoreFigures
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.meters import Reading, Totals

_NONE: Final[Mapping[str, str]] = {}
_LOSSES: Final = ("dropped", "rejected", "unknown")


class Kind(Enum):
    """What a family's figures mean; the numbers are those of `MetricType` in metrics.proto."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 4


class Point(NamedTuple):
    """One figure, or one distribution, of a family."""

    labels: Mapping[str, str]
    value: float | Totals
    created_ns: int | None = None
    """When it began to count from zero."""


class Family(NamedTuple):
    """Figures of one name; a counter's ends in `_total`."""

    name: str
    kind: Kind
    help: str
    points: Sequence[Point]


class Status(NamedTuple):
    """What a scrape is made of; nobody changes it, so a thread may render it."""

    reading: Reading
    figures: StoreFigures | None
    """None while the store cannot tell them: they are left out, since no figure is not zero."""
    ready: bool


def describe(status: Status) -> Iterator[Family]:
    """Yield all families."""
    yield from _describe_calls(status.reading)
    yield from _describe_ingest(status.reading)
    if status.figures is not None:
        yield from _describe_store(status.figures)
    yield _single("ready", Kind.GAUGE, "1 while batches are taken, 0 while they are refused.", status.ready)
    build = Point({"version": __version__}, 1)
    yield Family("chronoprof_build_info", Kind.GAUGE, "1; the label says which release runs.", [build])
    yield from _describe_process()


def _describe_calls(reading: Reading) -> Iterator[Family]:
    rows = [(_labels_of(key), row) for key, row in reading.rows]
    yield Family(
        "chronoprof_call_duration_seconds",
        Kind.HISTOGRAM,
        "Durations of the calls that were committed since this process was first scraped.",
        [Point(labels, Totals(row.histogram, row.total_ns), row.first_seen_ns) for labels, row in rows],
    )
    yield Family(
        "chronoprof_call_errors_total",
        Kind.COUNTER,
        "Those of the calls that raised an exception or answered 5xx.",
        [Point(labels, row.errors, row.first_seen_ns) for labels, row in rows],
    )
    yield Family(
        "chronoprof_lost_calls_total",
        Kind.COUNTER,
        "Calls that processes dropped, had rejected, or know no answer for.",
        list(_lost(reading.losses, reading.started_ns)),
    )


def _describe_ingest(reading: Reading) -> Iterator[Family]:
    started_ns = reading.started_ns
    batches = {"counted": reading.batches, "repeated": reading.repeats}
    yield Family(
        "chronoprof_ingest_batches_total",
        Kind.COUNTER,
        "Batches acknowledged: counted, or known from before and counted once.",
        [Point({"result": result}, count, started_ns) for result, count in batches.items()],
    )
    yield Family(
        "chronoprof_ingest_refusals_total",
        Kind.COUNTER,
        "Batches refused, by the code of the error.",
        [Point({"code": code}, count, started_ns) for code, count in reading.refusals.items()],
    )
    for name, text, value in (
        ("ingest_calls_total", "Calls committed, samples multiplied.", reading.calls),
        ("ingest_body_bytes_total", "Bodies of the batches counted, inflated.", reading.body_bytes),
        ("ingest_rejected_items_total", "Items of acknowledged batches that were not counted.", reading.rejected_items),
    ):
        yield _single(name, Kind.COUNTER, text, value, started_ns)
    yield Family(
        "chronoprof_ingest_commit_seconds",
        Kind.HISTOGRAM,
        "From a decoded batch to its acknowledgement: the wait in the queue and the commit.",
        [Point(_NONE, reading.commits, started_ns)],
    )


def _describe_store(figures: StoreFigures) -> Iterator[Family]:
    for name, text, value in (
        ("queue_batches", "Batches that wait to be committed.", figures.waiting_batches),
        ("queue_bytes", "Bodies of the batches that wait to be committed.", figures.waiting_bytes),
        ("journal_bytes", "Journaled since the last checkpoint began; a restart replays it.", figures.journal_bytes),
        ("senders", "Processes that are remembered, those that ended included.", figures.senders),
        ("window_generation", "Number of the current window; a reset or rotate adds one.", figures.generation),
        ("window_rows", "Rows of the current window.", figures.rows),
        ("window_overflowed_calls", "Calls of the current window that are under _other.", figures.overflowed),
    ):
        yield _single(name, Kind.GAUGE, text, value)


def _single(name: str, kind: Kind, text: str, value: float, created_ns: int | None = None) -> Family:
    return Family(f"chronoprof_{name}", kind, text, [Point(_NONE, value, created_ns)])


def _labels_of(key: RowKey) -> dict[str, str]:
    return {"function": key.function_name, "service": key.service, "version": key.version}


def _lost(losses: Mapping[str, Losses], started_ns: int) -> Iterable[Point]:
    for service, lost in losses.items():
        for reason in _LOSSES:
            yield Point({"service": service, "reason": reason}, getattr(lost, reason), started_ns)


def _describe_process() -> Iterator[Family]:
    """Yield CPU time, memory and descriptors of this process, under the names that every Prometheus client uses."""
    for metric in ProcessCollector(registry=None).collect():
        counter = metric.type == "counter"
        points = [Point(sample.labels, sample.value) for sample in metric.samples]
        name = f"{metric.name}_total" if counter else metric.name
        yield Family(name, Kind.COUNTER if counter else Kind.GAUGE, metric.documentation, points)
