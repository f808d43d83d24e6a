"""The benchmarks run and print what they promise; no figure is ever asserted."""

import pytest

from benchmarks import bench_client, bench_client_end_to_end, bench_fleet, bench_server, bench_wire
from benchmarks.fleet_cases import Case, Measured
from benchmarks.fleet_model import Model, Transaction, fit
from benchmarks.fleet_tables import FLEETS


def test_the_shim_is_measured_beside_the_plain_wrappers(capsys: pytest.CaptureFixture[str]) -> None:
    """A glance at two variants prints a row for each, on one thread and on four, and the ratio to the floor."""
    bench_client.main(["--quick", "--only", "floor", "timed"])
    printed = capsys.readouterr().out
    assert printed.count("chronoprof-sidecar `timed`") == 2
    assert "`timed` against the floor" in printed


def test_the_cost_until_calls_can_be_queried_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A glance at ours alone shows the cost of app and sidecar, and that no call was lost."""
    bench_client_end_to_end.main(["--quick", "--only", "ours"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("chronoprof-sidecar")]
    assert row.endswith(" 0.00%")


def test_the_sidecar_is_measured_without_its_peers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A glance at one-sample requests shows their ratio and that none was lost; a missing peer is left out."""
    monkeypatch.setenv("PATH", "")
    bench_server.main(["--quick", "--only", "one", "floor", "statsd"])
    lines = capsys.readouterr().out.splitlines()
    assert "statsd: left out; `make bench-server` installs it" in lines
    assert 1 == sum(line.startswith("one-sample request / aiohttp handler") for line in lines)
    (row,) = [line for line in lines if line.startswith("chronoprof-sidecar, one sample a request")]
    assert row.endswith(" 0.00%")
    assert not [line for line in lines if line.startswith("npm statsd")]


def test_acknowledgement_and_memory_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A glance at the acknowledgement and at many wide functions prints each goal with what was reached."""
    bench_server.main(["--quick", "--only", "acknowledgement", "many"])
    lines = capsys.readouterr().out.splitlines()
    assert 6 == sum(line.endswith((" met", " missed")) for line in lines)


def test_every_form_of_a_body_is_measured_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    """A glance prints for bodies of each form what decoding, judging and merging cost in orjson's time."""
    bench_wire.main(["--quick"])
    rows = capsys.readouterr().out.splitlines()[-8:]
    assert ["functions,"] * 5 + ["durations,", "samples,", "samples,"] == [row.split()[0] for row in rows]
    assert all(float(figure) > 0 for row in rows for figure in row[30:].split())


@pytest.mark.system
def test_a_fleet_is_measured_modelled_and_carried_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A glance prints what cases cost beside the embedded store, the model, its error, and every fleet on paper."""
    bench_fleet.main(["--quick"])
    lines = capsys.readouterr().out.splitlines()
    (embedded,) = [line for line in lines if line.startswith("embedded: ")]
    (beside,) = [line for line in lines if line.startswith(embedded.removeprefix("embedded: ")[:30])]
    assert float(beside.split()[-1]) > 0
    assert 2 == sum(line.startswith("10 functions, 8 at once, 2 replicas") for line in lines)
    assert len(FLEETS) == sum(" x 30, every " in line for line in lines)


def test_the_fleet_model_finds_the_costs_that_made_the_figures() -> None:
    """Figures made by known costs of a transaction's parts give back those costs, and what an unseen case takes."""
    made = Model(sidecar=[2.0, 0.3, 0.02, 0.01], database=[1.0, 0.1, 0.05, 0.2], wal=[500.0, 300.0, 900.0, 100.0])
    cases = [
        make_measured(made, *each) for each in ((1, 8), (10, 1), (10, 40), (100, 1), (100, 6), (100, 40), (1000, 2))
    ]
    found = fit(cases)
    for ours, theirs in ((found.sidecar, made.sidecar), (found.database, made.database), (found.wal, made.wal)):
        assert ours == pytest.approx(theirs)
    unseen = Transaction(batches=20, functions=50, services=4)
    assert found.database_ms(unseen) == pytest.approx(made.database_ms(unseen))


def make_measured(model: Model, functions: int, batches: int) -> Measured:
    """Return what a case would have come to if the model were the truth."""
    transaction = Transaction(batches, functions)
    return Measured(
        case=Case(functions),
        batches_per_second=100,
        batches_per_transaction=batches,
        sidecar_ms=model.sidecar_ms(transaction),
        database_ms=model.database_ms(transaction),
        wal_bytes=model.wal_bytes(transaction),
        disk_bytes=0,
        body_bytes=220 * functions,
    )
