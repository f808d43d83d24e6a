"""The benchmarks run and print what they promise; no figure is ever asserted."""

import pytest

from benchmarks import bench_client, bench_client_end_to_end, bench_server, bench_wire


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
