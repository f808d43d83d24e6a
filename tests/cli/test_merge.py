"""`chronoprof merge`: files of several hosts and hours become one, exactly, and nothing is lost on the way."""

import json
from pathlib import Path
from random import Random

import pytest

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.wire.save_format import load_save
from tests.cli.conftest import Run
from tests.domain.building import figures, statistics
from tests.wire.counting import ARRIVED_NS
from tests.wire.windows import lognormal, save_of


def test_a_merge_is_exact(run: Run) -> None:
    """Of three hosts, the merged rows are those of one that had counted every call itself; losses add up."""
    random = Random(5)
    hosts = [{RowKey("f", "shop", "1"): lognormal(random, 1e7, 300)} for _ in range(3)]
    hosts[1][RowKey("f", "till", "1")] = lognormal(random, 1e6, 20)
    for number, rows in enumerate(hosts):
        save = json.loads(save_of(rows, {"shop": Losses(dropped=number)}))
        Path(f"{number}.json").write_text(json.dumps(save | {"window_start_ns": ARRIVED_NS - 60 * 10**9 + number}))
    ran = run("merge", "0.json", "1.json", "2.json", "-o", "all.json")
    assert (0, "Wrote all.json: 3 saves, 2 rows.\n") == (ran.code, ran.out)
    merged = load_save(Path("all.json").read_bytes())
    everything = [duration for rows in hosts for duration in rows[RowKey("f", "shop", "1")]]
    expected = {
        RowKey("f", "shop", "1"): figures(statistics(everything, arrived_ns=ARRIVED_NS)),
        RowKey("f", "till", "1"): figures(statistics(hosts[1][RowKey("f", "till", "1")], arrived_ns=ARRIVED_NS)),
    }
    assert expected == {key: figures(row) for key, row in merged.rows}
    assert {"shop": Losses(dropped=3)} == merged.losses
    assert 920 == sum(row["calls"] for row in json.loads(Path("all.json").read_text())["data"].values())


def test_hours_become_their_span(run: Run) -> None:
    """The merged window begins with the earliest and ends with the latest of those given."""
    early = json.loads(save_of({"a": [1000]})) | {"window_start_ns": 5 * 10**9, "window_end_ns": 6 * 10**9}
    Path("early.json").write_text(json.dumps(early))
    Path("late.json").write_bytes(save_of({"b": [1000]}))
    assert run("merge", "late.json", "early.json", "-o", "day.json").code == 0
    merged = load_save(Path("day.json").read_bytes())
    assert (0, 5 * 10**9, ARRIVED_NS + 1) == (merged.generation, merged.window_start_ns, merged.taken_ns)
    assert ["a", "b"] == [key.function_name for key, _ in merged.rows]


def test_a_window_counts_once(run: Run) -> None:
    """Two saves of one window are refused by name, as the later has all calls of the earlier; merges are not."""
    first, second = json.loads(save_of({"a": [1000]})), json.loads(save_of({"a": [1000, 2000]}))
    for generation, code in ((7, 1), (0, 0)):
        Path("first.json").write_text(json.dumps(first | {"generation": generation}))
        Path("second.json").write_text(json.dumps(second | {"generation": generation}))
        ran = run("merge", "first.json", "second.json", "-o", "both.json")
        assert (code, code == 0) == (ran.code, Path("both.json").exists())
        said = "first.json and second.json hold the same window (generation 7, started 2025-11-22T23:59:00"
        assert (said in ran.err) == (generation == 7)


def test_an_output_is_overwritten_by_force_alone(run: Run) -> None:
    """A file that is there stays as it is unless `--force` says otherwise, and no other file is left."""
    Path("a.json").write_bytes(save_of({"a": [1000]}))
    Path("kept.json").write_text("precious")
    refused = run("merge", "a.json", "-o", "kept.json")
    assert (1, "precious") == (refused.code, Path("kept.json").read_text())
    assert "kept.json exists and is not overwritten without --force" in refused.err
    assert run("merge", "a.json", "-o", "kept.json", "--force").code == 0
    assert ["a"] == [key.function_name for key, _ in load_save(Path("kept.json").read_bytes()).rows]
    assert {"a.json", "kept.json"} == {path.name for path in Path().iterdir()}


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["a.json", "results.json", "-o", "c.json"], 1, "results.json: not a save: it has no 'schema_version'"),
        (["a.json", "export.csv", "-o", "c.json"], 1, "export.csv: a .csv file is an export"),
        (["a.json", "missing.json", "-o", "c.json"], 1, "cannot read missing.json"),
        (["a.json", "copy.json", "-o", "c.json"], 1, "copy.json is a save that was given already"),
        (["a.json", "-o", "nowhere/c.json"], 1, "cannot write nowhere/c.json"),
        (["a.json"], 2, "-o"),
    ],
)
def test_what_cannot_be_merged_is_named(run: Run, argv: list[str], code: int, message: str) -> None:
    """A file that is no save, or is there twice, is named, and nothing is written."""
    for name in ("a.json", "copy.json"):
        Path(name).write_bytes(save_of({"a": [1000]}))
    Path("results.json").write_text('{"data": {}}')
    Path("export.csv").write_text("function_name,service\r\n")
    ran = run("merge", *argv)
    assert code == ran.code
    assert message in ran.err
    assert not list(Path().rglob("c.json"))
    assert not list(Path().glob(".*"))
