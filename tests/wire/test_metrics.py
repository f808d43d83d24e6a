import math
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from chronoprof_sidecar.domain.batch import Outcome
from chronoprof_sidecar.domain.bounds import CLASSIC_BOUNDS, SCHEMA, ZERO_THRESHOLD, count_classic, to_native
from chronoprof_sidecar.domain.figures import StoreFigures
from chronoprof_sidecar.domain.histogram import Histogram
from chronoprof_sidecar.domain.meters import Meters
from chronoprof_sidecar.wire.batches import decode_batch
from chronoprof_sidecar.wire.metrics import Status, describe, render_families
from chronoprof_sidecar.wire.metrics.protobuf import CONTENT_TYPE
from tests.wire.protobuf_reader import Fields, from_zigzag, read_delimited, read_fields, read_varints

PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"
FIRST_SEEN_NS = 1_790_000_000_250_000_000
NASTY = 'GET /a"b\\c/{ü}'
DURATIONS = "GET /a"
FIGURES = StoreFigures(3, 2, 1, 4, 5, 6, 7)


@pytest.fixture
def status() -> Status:
    """Return what a scrape of two functions shows; one name has all that a text form must escape."""
    meters = Meters(100, lambda: FIRST_SEEN_NS, lambda: 0.0)
    meters.read()
    body = (
        b'{"service":"shop","version":"1","dropped":3,'
        b'"durations":{"GET /a":[0,0.001,0.25,0.25,0.3,600],"GET /a\\"b\\\\c/{\xc3\xbc}":[0.5]},'
        b'"samples":[{"function_name":"GET /a","duration":0.001,"error":true}]}'
    )
    batch = decode_batch(body)
    meters.count(batch, Outcome(batch.calls, 0, (), None, duplicate=False), 0.003)
    meters.refuse("malformed")
    return Status(meters.read(), FIGURES, ready=True)


def histogram_of(status: Status, name: str = DURATIONS) -> Histogram:
    """Return the distribution that the scrape must show."""
    return next(row.histogram for key, row in status.reading.rows if key.function_name == name)


def values_of(families: Any) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample of a text form by name and labels, but for the process' own, which change."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.startswith("process_")
    }


def labels_of(metric: Fields) -> dict[str, str]:
    """Return the labels of a `Metric`."""
    pairs = [read_fields(pair) for pair in metric.get(1, [])]
    return {pair[1][0].decode(): pair[2][0].decode() for pair in pairs}


def protobuf_of(status: Status) -> dict[str, Fields]:
    """Return the `MetricFamily` messages by name."""
    content, content_type = render_families(describe(status), PROTOBUF)
    assert CONTENT_TYPE == content_type
    return {family[1][0].decode(): family for family in read_delimited(content)}


def native_of(status: Status, labels: Mapping[str, str]) -> Fields:
    """Return the `Histogram` of the calls with these labels."""
    family = protobuf_of(status)["chronoprof_call_duration_seconds"]
    metrics = [read_fields(metric) for metric in family[4]]
    return read_fields(next(metric[7][0] for metric in metrics if labels_of(metric) == labels))


def test_both_texts_say_the_same(status: Status) -> None:
    """Prometheus' text and OpenMetrics parse, by the rules of their own package, to the same samples."""
    plain, plain_type = render_families(describe(status), "")
    openmetrics, openmetrics_type = render_families(describe(status), OPENMETRICS)
    assert plain_type.startswith("text/plain; version=0.0.4")
    assert openmetrics_type.startswith("application/openmetrics-text; version=1.0.0")
    assert values_of(parse_text(plain.decode())) == values_of(parse_openmetrics(openmetrics.decode()))  # type: ignore[no-untyped-call]


def test_the_text_has_the_figures(status: Status) -> None:
    """Buckets add up as their bounds say, the sum is exact, names come back unchanged, and gauges are the store's."""
    values = values_of(parse_text(render_families(describe(status), "")[0].decode()))
    calls = {"function": DURATIONS, "service": "shop", "version": "1"}

    def value(name: str, labels: Mapping[str, str]) -> float:
        return values[f"chronoprof_{name}", frozenset(labels.items())]

    counts = {"0.001": 3, "0.25": 5, "0.5": 6, "+Inf": 7}
    assert counts == {bound: value("call_duration_seconds_bucket", {**calls, "le": bound}) for bound in counts}
    assert 7 == value("call_duration_seconds_count", calls)
    assert 600.802 == value("call_duration_seconds_sum", calls)
    assert 1 == value("call_errors_total", calls)
    assert 1 == value("call_duration_seconds_count", {**calls, "function": NASTY})
    assert 3 == value("lost_calls_total", {"service": "shop", "reason": "dropped"})
    assert 1 == value("ingest_refusals_total", {"code": "malformed"})
    assert 8 == value("ingest_calls_total", {})
    window = ("window_generation", "window_rows", "window_overflowed_calls")
    gauges = (*window, "senders", "queue_batches", "queue_bytes", "journal_bytes")
    assert FIGURES == tuple(value(name, {}) for name in gauges)
    assert 1 == value("ready", {})


def test_protobuf_has_the_same_figures_as_text(status: Status) -> None:
    """Every counter and gauge of the text is in the messages, with its type, its labels and its value."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for name, family in protobuf_of(status).items():
        kind = family[3][0]
        for metric in map(read_fields, family[4]):
            if kind in (0, 1) and not name.startswith("process_"):  # a Counter is field 3, a Gauge field 2
                found[name, frozenset(labels_of(metric).items())] = read_fields(metric[3 - kind][0])[1][0]
    text = values_of(parse_text(render_families(describe(status), "")[0].decode()))
    histograms = ("chronoprof_call_duration_seconds", "chronoprof_ingest_commit_seconds")
    assert {key: value for key, value in text.items() if not key[0].startswith(histograms)} == found


def test_one_message_has_classic_and_native_buckets(status: Status) -> None:
    """Field by field as metrics.proto numbers them, a histogram has count, sum, both kinds of buckets and its birth."""
    histogram, native = histogram_of(status), to_native(histogram_of(status))
    message = native_of(status, {"function": DURATIONS, "service": "shop", "version": "1"})
    assert [7] == message[1]
    assert [600.802] == message[2]
    classic = [(bucket[2][0], bucket[1][0]) for bucket in map(read_fields, message[3])]
    assert list(zip(CLASSIC_BOUNDS, count_classic(histogram), strict=True)) == classic
    assert SCHEMA == from_zigzag(message[5][0])
    assert [ZERO_THRESHOLD] == message[6]
    assert [1] == message[7]
    spans = [(from_zigzag(span[1][0]), span[2][0]) for span in map(read_fields, message[12])]
    assert list(native.spans) == spans
    assert len(spans) > 1
    assert list(native.deltas) == [from_zigzag(delta) for delta in read_varints(message[13][0])]
    assert {1: [1_790_000_000], 2: [250_000_000]} == read_fields(message[15][0])


def test_numbers_of_any_size_are_encoded(status: Status) -> None:
    """Counts beyond one byte and beyond 2^53 come back to the unit."""
    histogram = histogram_of(status)
    buckets, _ = histogram.to_sparse()
    histogram.add(buckets[-1:], [2**60])
    message = native_of(status, {"function": DURATIONS, "service": "shop", "version": "1"})
    assert [2**60 + 7] == message[1]
    assert 2**60 + 1 in accumulate(from_zigzag(delta) for delta in read_varints(message[13][0]))


@pytest.mark.parametrize(
    ("accept", "protobuf"),
    [
        (PROTOBUF, True),
        (f"{PROTOBUF},{OPENMETRICS};q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        (f"{PROTOBUF};q=0.2,{OPENMETRICS};q=0.6,*/*;q=0.1", False),
        (f"{OPENMETRICS},{PROTOBUF}", False),
        (f"{PROTOBUF};q=0", False),
        (f"{PROTOBUF};q=often", False),
        ("*/*", False),
        ("text/html, application/xhtml+xml, */*;q=0.8", False),
        ("", False),
    ],
)
def test_the_form_is_what_the_scraper_asks_for_first(status: Status, accept: str, protobuf: bool) -> None:
    """Protobuf goes to who prefers it to text, by weight and then by order, and to nobody else."""
    assert protobuf == (render_families(describe(status), accept)[1] == CONTENT_TYPE)


def test_figures_that_the_store_cannot_tell_are_left_out(status: Status) -> None:
    """While a database is away its gauges are missing, not zero, and all that the process itself counted is there."""
    whole = {family.name for family in describe(status)}
    told = {family.name for family in describe(status._replace(figures=None, ready=False))}
    gauges = {"queue_batches", "queue_bytes", "journal_bytes", "senders"}
    gauges |= {"window_generation", "window_rows", "window_overflowed_calls"}
    assert {f"chronoprof_{name}" for name in gauges} == whole - told


def test_before_anything_is_counted_the_scrape_is_whole() -> None:
    """A sidecar that has counted nothing yet exposes valid text and a native histogram without buckets."""
    status = Status(Meters(100, lambda: 1, lambda: 0.0).read(), FIGURES, ready=False)
    assert list(parse_text(render_families(describe(status), "")[0].decode()))
    commits = protobuf_of(status)["chronoprof_ingest_commit_seconds"]
    message = read_fields(read_fields(commits[4][0])[7][0])
    assert ([0], [0.0], [ZERO_THRESHOLD]) == (message[1], message[2], message[6])
    assert math.isclose(message[6][0], 1e-9, rel_tol=0.1)
    assert "chronoprof_call_duration_seconds" not in protobuf_of(status)
