"""What Prometheus and Grafana are given to read names nothing that the sidecar does not expose."""

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from chronoprof_sidecar import protocol
from chronoprof_sidecar.domain.figures import StoreFigures
from chronoprof_sidecar.domain.meters import Meters
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.wire.metrics import Status, describe

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "config" / "prometheus"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "config" / "grafana" / "chronoprof.json").read_text())
PAGE = (ROOT / "docs" / "prometheus.md").read_text()
# A colon before it makes it a recording rule's name.
NAME = re.compile(r"(?<![\w:])(?:chronoprof|process)_[a-z0-9_]+\b(?!:)")


def exposed_names() -> set[str]:
    """Return the names of all series, and those of native histograms."""
    meters = Meters(100, lambda: 0, lambda: 0.0)
    names = set()
    for family in describe(Status(meters.read(), StoreFigures(1, 0, 0, 0, 0, 0, 0), ready=True)):
        names.add(family.name)
        if family.kind.name == "HISTOGRAM":
            names |= {f"{family.name}_{suffix}" for suffix in ("bucket", "count", "sum")}
    return names


def expressions_of(dashboard: dict[str, Any]) -> list[str]:
    """Return every query of a dashboard."""
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    variables = [each["definition"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    return panels + variables


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\n".join(expressions_of(DASHBOARD)), id="dashboard"),
        pytest.param((PROMETHEUS / "rules.yml").read_text(), id="rules"),
        pytest.param((PROMETHEUS / "rules.test.yml").read_text(), id="rules.test"),
        pytest.param(PAGE, id="page"),
    ],
)
def test_only_metrics_that_exist_are_used(text: str) -> None:
    """A renamed metric cannot leave a panel, an alert or a sentence behind that is empty for ever."""
    names = set(NAME.findall(text))
    assert names
    assert set() == names - exposed_names()


def test_the_page_explains_every_metric() -> None:
    """Each metric of the sidecar has its line in the table of docs/prometheus.md."""
    described = set(re.findall(r"^\| `(chronoprof_[a-z_]+)`", PAGE, re.MULTILINE))
    ours = {name for name in exposed_names() if name.startswith("chronoprof_")}
    assert described == {name for name in ours if not name.endswith(("_bucket", "_count", "_sum"))}


def test_the_dashboard_is_laid_out() -> None:
    """Panels have numbers of their own, all have a query, and none lies upon another."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        assert panel["type"] == "row" or panel["targets"]
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        covered = set(product(columns, range(place["y"], place["y"] + place["h"])))
        assert max(columns) < 24
        assert set() == cells & covered
        cells |= covered


def test_the_scrape_configuration_fits_the_defaults() -> None:
    """Port and path are those of a sidecar that nobody has set up otherwise, and labels stay the app's."""
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    assert [f"127.0.0.1:{Settings().port}"] == job["static_configs"][0]["targets"]
    assert protocol.METRICS_PATH == job.get("metrics_path", "/metrics")
    assert job["honor_labels"] is True
    assert set(job["authorization"]) == {"credentials_file"}
