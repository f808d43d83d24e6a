"""The benchmarks run and print what they promise; no figure is ever asserted."""

import pytest

from benchmarks import bench_client, bench_client_end_to_end


def test_the_shim_is_measured_beside_the_plain_wrappers(capsys: pytest.CaptureFixture[str]) -> None:
    """A glance at three variants prints a row for each, on one thread and on four, and the ratio to the floor."""
    bench_client.main(["--quick", "--only", "floor", "generic", "timed"])
    printed = capsys.readouterr().out
    assert printed.count("chronoprof-sidecar `timed`") == 2
    assert "`timed` against the floor" in printed


def test_the_cost_until_calls_can_be_queried_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """A glance at ours alone shows the cost of app and sidecar, and that no call was lost."""
    bench_client_end_to_end.main(["--quick", "--only", "ours"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("chronoprof-sidecar")]
    assert row.endswith(" 0.00%")
