"""A real Prometheus scrapes a real sidecar, and says what the sidecar says."""

import json
import random
import urllib.request
from collections.abc import Iterator
from itertools import pairwise, product
from urllib.parse import urlencode

import pytest

from chronoprof_sidecar.domain.bounds import CLASSIC_BOUNDS
from tests.ports import free_port
from tests.process.sidecar import INGEST_KEY, READ_KEY, Sidecar, wait_until
from tests.system.prometheus import CONFIG, Prometheus, promtool
from tests.test_monitoring import DASHBOARD, expressions_of

pytestmark = pytest.mark.system

DURATIONS = "chronoprof_call_duration_seconds"
CALLS = 5000
PERCENTS = (50, 90, 95, 99)
SHAPES = {"quick": (-9.0, 0.4), "GET /items/{id}": (-5.0, 1.0), 'slow "one"': (0.5, 0.2)}
"""Of lognormal durations: their mean and spread."""


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Return a running sidecar."""
    running = Sidecar(tmp_path_factory.mktemp("sidecar")).start()
    yield running
    running.close()


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "native"])
def native(request: pytest.FixtureRequest) -> bool:
    """Say whether Prometheus stores native histograms."""
    stores_native: bool = request.param
    return stores_native


@pytest.fixture(scope="module")
def prometheus(sidecar: Sidecar, tmp_path_factory: pytest.TempPathFactory, native: bool) -> Iterator[Prometheus]:
    """Return a Prometheus that has scraped the sidecar."""
    options = ["--enable-feature=native-histograms"] if native else []
    with Prometheus(tmp_path_factory.mktemp("prometheus"), free_port(), sidecar, options).running() as running:
        wait_until(lambda: running.value("chronoprof_ready") == 1, "the first scrape")
        yield running


@pytest.fixture
def service(request: pytest.FixtureRequest) -> str:
    """Return a service that no other test ships as."""
    return f"service of {request.node.name}"


def ship(sidecar: Sidecar, service: str, seq: int) -> None:
    """Count calls of every shape, as one batch of a process of `service`."""
    chance = random.Random(seq)
    durations = {name: [chance.lognormvariate(*shape) for _ in range(CALLS)] for name, shape in SHAPES.items()}
    body = {"service": service, "client": {"id": service, "seq": seq}, "durations": durations}
    status, answer = sidecar.request("POST", "/api/v1/profiling/ingest", body, key=INGEST_KEY)
    assert status == 200, answer


def wait_for_calls(prometheus: Prometheus, service: str, batches: int, *, native: bool) -> None:
    """Return once Prometheus knows of all calls of so many batches."""
    counts = f"histogram_count({DURATIONS}{{}})" if native else f"{DURATIONS}_count{{}}"
    expression = f"sum({counts})".replace("{}", f'{{service="{service}"}}')
    wait_until(lambda: prometheus.value(expression) == batches * CALLS * len(SHAPES), "the scrape of all calls")


def test_quantiles_agree(sidecar: Sidecar, prometheus: Prometheus, native: bool, service: str) -> None:
    """Every percentile that Prometheus computes lies within one bucket's width of the sidecar's own."""
    ship(sidecar, service, 1)
    wait_for_calls(prometheus, service, 1, native=native)
    rows = sidecar.data("?" + urlencode({"service": service}))
    metric = DURATIONS if native else f"{DURATIONS}_bucket"
    for name, percent in product(SHAPES, PERCENTS):
        ours = rows[name][f"p{percent}_time"]
        selector = f"{{service={json.dumps(service)},function={json.dumps(name)}}}"
        theirs = prometheus.value(f"histogram_quantile({percent / 100}, {metric}{selector})")
        assert theirs is not None
        if native:
            assert ours == pytest.approx(theirs, rel=0.03)
        else:
            low, high = next(each for each in pairwise((0.0, *CLASSIC_BOUNDS)) if ours <= each[1])
            assert low * 0.984 <= theirs <= high * 1.016
    assert prometheus.scrape_errors() == [""]


def test_a_reset_is_no_reset_to_prometheus(
    sidecar: Sidecar, prometheus: Prometheus, native: bool, service: str
) -> None:
    """A new window takes nothing from a counter: Prometheus sees no reset, and all calls of both windows."""
    ship(sidecar, service, 1)
    wait_for_calls(prometheus, service, 1, native=native)
    assert sidecar.request("POST", "/api/v1/profiling/reset")[0] == 204
    ship(sidecar, service, 2)
    wait_for_calls(prometheus, service, 2, native=native)
    for metric in ("chronoprof_ingest_calls_total", "chronoprof_call_errors_total"):
        assert {"0"} == {each["value"][1] for each in prometheus.query(f"resets({metric}[5m])")}


def test_the_dashboard_has_data(sidecar: Sidecar, prometheus: Prometheus, native: bool, service: str) -> None:
    """Every query of the dashboard is one that Prometheus understands, and finds what there is to be found."""
    for seq in (1, 2):
        ship(sidecar, service, seq)
        wait_for_calls(prometheus, service, seq, native=native)
    expressions = [each for each in expressions_of(DASHBOARD) if not each.startswith("label_values")]
    empty = {each for each in expressions if not prometheus.query(with_values(each))}
    nothing_went_wrong = ("errors_total", "refusals_total")
    assert {each for each in expressions if any(name in each for name in nothing_went_wrong)} == empty


def with_values(expression: str) -> str:
    """Return a query of the dashboard as Grafana sends it."""
    for variable, value in (("$__rate_interval", "1m"), ("$instance", ".*"), ("$service", ".*"), ("$job", ".*")):
        expression = expression.replace(variable, value)
    return expression


def test_promtool_finds_nothing_to_complain_about(sidecar: Sidecar) -> None:
    """The exposition of a sidecar at work is clean to `promtool check metrics`: names, units, types and help texts."""
    for seq in (1, 2):
        request = urllib.request.Request(f"{sidecar.url}/metrics", headers={"Authorization": f"Bearer {READ_KEY}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read().decode()
        ship(sidecar, "promtool", seq)
    assert "chronoprof_call_duration_seconds_bucket" in text
    checked = promtool("check", "metrics", text=text)
    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


def test_the_rules_fire_when_they_should() -> None:
    """Every alert has a case in which it fires, and promtool agrees with all of them."""
    tested = promtool("test", "rules", CONFIG / "rules.test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    alerts = {line.split()[-1] for line in (CONFIG / "rules.yml").read_text().splitlines() if "- alert:" in line}
    cases = (CONFIG / "rules.test.yml").read_text()
    assert len(alerts) > 5
    assert set() == {alert for alert in alerts if f"alertname: {alert}\n" not in cases}


@pytest.mark.parametrize("name", ["prometheus.yml", "fleet.yml"])
def test_the_configuration_is_valid(name: str) -> None:
    """`promtool check config` accepts the scrape configurations as they stand, their rules included."""
    checked = promtool("check", "config", "--syntax-only", CONFIG / name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
