"""Families as text: Prometheus' own format or OpenMetrics, whichever `prometheus_client` finds to be asked for.

Owns how a family becomes one of that package's; escaping and layout are the package's.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, cast

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from chronoprof_sidecar.domain.bounds import CLASSIC_BOUNDS, count_classic
from chronoprof_sidecar.domain.meters import Totals
from chronoprof_sidecar.protocol import NANOSECONDS
from chronoprof_sidecar.wire.metrics.families import Family, Kind

_METRICS: Final[dict[Kind, Callable[..., Any]]] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}
_BOUND_TEXTS: Final = (*map(floatToGoString, CLASSIC_BOUNDS), "+Inf")


def render_text(families: Iterable[Family], accept: str) -> tuple[bytes, str]:
    """Return the exposition and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(_Families(families)), content_type


class _Families(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return map(_to_metric, self._families)


def _to_metric(family: Family) -> Metric:
    names = list(family.points[0].labels) if family.points else ()
    metric = _METRICS[family.kind](family.name, family.help, labels=names)
    for point in family.points:
        value = point.value
        values = _buckets_and_sum(value) if isinstance(value, Totals) else (value,)
        metric.add_metric(list(point.labels.values()), *values)
    return cast("Metric", metric)


def _buckets_and_sum(totals: Totals) -> tuple[list[tuple[str, float]], float]:
    counts = [*count_classic(totals.histogram), totals.histogram.count]
    return list(zip(_BOUND_TEXTS, counts, strict=True)), totals.total_ns / NANOSECONDS
