"""`chronoprof plot`: charts that show what the figures say, and files that are what their names say."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import isnan, log2
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronoprof_sidecar.cli.main import main
from chronoprof_sidecar.cli.plot.figures import (
    Bar,
    Bucket,
    Moment,
    Pair,
    draw_bars,
    draw_comparison,
    draw_distribution,
    draw_history,
)
from chronoprof_sidecar.cli.plot.sources import MAX_BARS, coarsen, histogram_of
from chronoprof_sidecar.domain.compare import Verdict
from chronoprof_sidecar.protocol import BUCKET_COUNT, bucket_bounds, bucket_of
from tests.cli.conftest import KEY, StandIn
from tests.wire.windows import save_of

DATA = "GET /api/v1/profiling/data"
HISTORY = "GET /api/v1/profiling/history"
SIGNATURES = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


def report(**average: float) -> bytes:
    """Return an answer of `GET data` with these averages."""
    return json.dumps({"data": {name: {"avg_time": value, "calls": 3} for name, value in average.items()}}).encode()


@pytest.fixture(autouse=True)
def target(sidecar: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Ask the stand-in, and write into a directory of the test."""
    sidecar.answer(DATA, report(slow=0.5, quick=0.001))
    monkeypatch.setenv("CHRONOPROF_URL", sidecar.url)
    monkeypatch.setenv("CHRONOPROF_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    return sidecar


# --- pictures -------------------------------------------------------------------------------------------------------


def test_bars_show_values_and_names() -> None:
    """The first function stands on top, its bar as long as its value; dollars are no mathematics."""
    axes = draw_bars([Bar("GET /$x$", 0.5), Bar("quick", 0.001)], "avg_time").axes[0]
    assert [0.5, 0.001] == [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert [r"GET /\$x\$", "quick"] == [label.get_text() for label in axes.get_yticklabels()]
    assert axes.yaxis_inverted()
    assert ["500 ms", "1.00 ms"] == [text.get_text() for text in axes.texts]


def test_long_names_that_look_alike_have_bars_of_their_own() -> None:
    """What was cut out of the middle of a name puts no two functions in one place."""
    axes = draw_bars([Bar(f"{'a' * 100}{number}{'z' * 100}", 3.0 - number) for number in range(3)], "calls").axes[0]
    assert [0.0, 1.0, 2.0] == [bar.get_y() + bar.get_height() / 2 for bar in axes.patches]  # type: ignore[attr-defined]


def test_a_distribution_has_no_steps_of_its_own() -> None:
    """Equally many calls at every ratio of durations make a flat picture, though buckets double in width."""
    bounds = [bucket_bounds(bucket) for bucket in range(8000, 8400)]
    buckets = [Bucket(low, high, round(1e6 * log2(high / low))) for low, high in bounds]
    axes = draw_distribution("f", buckets, {"p50_time": 0.01, "p95_time": 0.01}).axes[0]
    heights = [bar.get_height() for bar in axes.patches]  # type: ignore[attr-defined]
    assert all(pytest.approx(1e6, rel=1e-3) == height for height in heights)
    assert "log" == axes.get_xscale()
    legend = axes.get_legend()
    assert legend is not None
    assert ["p50 10.0 ms", "p95 10.0 ms"] == [text.get_text() for text in legend.get_texts()]


def test_a_distribution_of_zeros_can_be_drawn() -> None:
    """What took no time has no place on a logarithmic axis, and breaks nothing."""
    axes = draw_distribution("f", [Bucket(0.0, 0.0, 7)], {"p50_time": 0.0}).axes[0]
    assert not axes.patches
    assert "f: 7 calls, 7 of no time, not drawn" == axes.get_title(loc="left")


def test_durations_that_are_all_alike_do_not_fill_the_picture() -> None:
    """A single bucket stands in two doublings of room."""
    low, high = draw_distribution("f", [Bucket(0.1, 0.101, 1)], {}).axes[0].get_xlim()
    assert low < 0.06
    assert high > 0.19


@given(st.dictionaries(st.integers(0, BUCKET_COUNT - 2), st.integers(1, 2**70), min_size=1, max_size=50))
def test_wider_buckets_hold_the_same_calls(histogram: dict[int, int]) -> None:
    """Few enough to look at, in order, each holds the calls of the buckets in its bounds; zeros stay by themselves."""
    bars = coarsen(histogram)
    assert len(bars) <= MAX_BARS + 2
    assert sum(histogram.values()) == sum(calls for _, calls in bars)
    assert all(one[1] <= other[0] for (one, _), (other, _) in pairwise(bars))
    for bucket, count in histogram.items():
        low, high = bucket_bounds(bucket)
        assert any(bar[0] <= low and high <= bar[1] and calls >= count for bar, calls in bars)
    if 0 in histogram:
        assert histogram[0] == bars[0][1]


def test_a_history_shows_gaps() -> None:
    """A step without calls is a gap in the percentiles and 0 below."""
    start = datetime(2026, 11, 23, tzinfo=UTC)
    durations: list[dict[str, float]] = [{"p50_time": 0.1, "p95_time": 0.2, "p99_time": 0.3}, {}, {"p50_time": 0.2}]
    minutes = [start + timedelta(minutes=i) for i in range(4)]
    moments = [Moment(minutes[i], minutes[i + 1], i, each) for i, each in enumerate(durations)]
    upper, lower = draw_history("f", moments).axes
    drawn: Any = upper.lines[0].get_ydata()
    median = [float(value) for value in drawn]
    assert (0.1, True, 0.2) == (median[0], isnan(median[1]), median[2])
    assert ["p50", "p95", "p99"] == [line.get_label() for line in upper.lines]
    assert [0, 1, 2] == [bar.get_height() for bar in lower.patches]  # type: ignore[attr-defined]


def test_a_history_of_one_step_is_as_long_as_the_step() -> None:
    """A single minute does not stand in years of nothing."""
    start = datetime(2026, 11, 23, tzinfo=UTC)
    lower = draw_history("f", [Moment(start, start + timedelta(minutes=1), 5, {"p50_time": 0.1})]).axes[1]
    first, last = lower.get_xlim()
    assert pytest.approx(1 / 1440, rel=1e-3) == last - first  # matplotlib counts days


def test_a_comparison_marks_what_chance_explains() -> None:
    """Each function has both bars; only what is more than chance has a colour, and one side alone says so."""
    pairs = [
        Pair("slower", 0.1, 0.13, Verdict.SLOWER),
        Pair("faster", 0.1, 0.08, Verdict.FASTER),
        Pair("same", 0.1, 0.101, Verdict.NOISE),
        Pair("rare", 0.1, 0.5, Verdict.NOT_ENOUGH),
        Pair("from nothing", 0.0, 0.1, Verdict.SLOWER),
        Pair("new", None, 0.1, None),
        Pair("gone", 0.1, None, None),
    ]
    axes = draw_comparison(pairs, "p95_time", "1.4", "live").axes[0]
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert [0.1, 0.1, 0.1, 0.1, 0.0, 0.0, 0.1] == widths[:7]
    assert [0.13, 0.08, 0.101, 0.5, 0.1, 0.1, 0.0] == widths[7:]
    expected = ["1.30x", "0.80x", "1.01x, noise", "5.00x, not enough", "100 ms", "100 ms, new", "not called any more"]
    assert expected == [text.get_text() for text in axes.texts]
    slower, faster, *unsure = [bar.get_facecolor() for bar in axes.patches[7:]]
    assert 3 == len({slower, faster, unsure[0]})
    assert {slower} == {unsure.pop(2)}
    assert 1 == len(set(unsure))


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", SIGNATURES)
def test_files_are_what_their_names_say(ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The ending of the name chooses the format; what was written is said, and what was replaced."""
    for done in ("Wrote", "Replaced"):
        assert main(["plot", "slowest", "-o", f"chart.{ending}"]) == 0
        assert Path(f"chart.{ending}").read_bytes().startswith(SIGNATURES[ending])
        assert f"{done} chart.{ending}.\n" == capsys.readouterr().out


def test_the_sidecar_is_asked_for_no_more_than_is_drawn(target: StandIn) -> None:
    """Order and limit go along with the question."""
    assert main(["plot", "slowest", "--by", "p95_time", "--top", "3", "--match", "GET *"]) == 1  # has no p95_time
    assert "sort=p95_time&order=desc&limit=3&match=GET+%2A" in target.received[0].target


def test_a_file_can_be_drawn() -> None:
    """A save, or an answer that was stored, is drawn without a sidecar, the slowest first."""
    Path("results.json").write_bytes(report(a=1.0, b=3.0, c=2.0))
    assert main(["plot", "slowest", "--from", "results.json", "--top", "2", "-o", "a.svg"]) == 0
    drawn = ElementTree.parse("a.svg")
    comments = Path("a.svg").read_text()
    assert drawn.getroot() is not None
    assert comments.index("<!-- b -->") < comments.index("<!-- c -->")
    assert "<!-- a -->" not in comments


def test_a_file_is_filtered_like_a_sidecar() -> None:
    """A glob chooses among the functions of a file, too."""
    Path("results.json").write_bytes(report(**{"GET /a": 1.0, "POST /b": 2.0}))
    assert main(["plot", "slowest", "--from", "results.json", "--match", "GET *", "-o", "a.svg"]) == 0
    assert "<!-- POST /b -->" not in Path("a.svg").read_text()


def test_a_distribution_is_asked_for(target: StandIn) -> None:
    """The histogram of the one function is asked for, and drawn with its percentiles."""
    row = {"p50_time": 0.25, "p95_time": None, "buckets": [0, bucket_of(0.25)], "counts": [1, 3]}
    target.answer(DATA, json.dumps({"data": {"GET /a": row}}).encode())
    assert main(["plot", "distribution", "GET /a", "-o", "a.svg"]) == 0
    assert "function_name=GET+%2Fa&buckets=true" in target.received[0].target
    drawn = Path("a.svg").read_text()
    assert "<!-- GET /a: 4 calls, 1 of no time, not drawn -->" in drawn
    assert "<!-- p50 250 ms -->" in drawn


def test_the_histograms_of_a_save_are_merged() -> None:
    """Rows of several services and versions are one function; large counts come as strings."""
    saved = [
        {"function_name": "a", "service": "x", "buckets": [8000, 8001], "counts": [1, 2]},
        {"function_name": "a", "service": "y", "buckets": [7999, 8001], "counts": ["18446744073709551616", 4]},
        {"function_name": "b", "service": "x", "buckets": [1], "counts": [9]},
    ]
    expected = {7999: 2**64, 8000: 1, 8001: 6}
    assert expected == histogram_of({"data": {"a": {}, "b": {}}, "rows": saved}, "a")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "no histogram of a: a save has them"),
        ({"buckets": [1, 2], "counts": [1]}, "the histogram of a is none"),
        ({"buckets": [1], "counts": ["x"]}, "the histogram of a is none"),
        ({"buckets": ["1"], "counts": [1]}, "the histogram of a is none"),
        ({"buckets": [99999], "counts": [1]}, "there is no bucket 99999"),
        ({"buckets": [1]}, "the histogram of a is none"),
        (None, "there are no calls of a"),
    ],
)
def test_what_has_no_histogram_is_said(
    target: StandIn, row: dict[str, Any] | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older sidecar leaves the histogram out, others answer anything: one line says what is missing."""
    target.answer(DATA, json.dumps({"data": {} if row is None else {"a": row}}).encode())
    assert main(["plot", "distribution", "a"]) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().glob("*.png"))


def test_two_windows_are_drawn(target: StandIn) -> None:
    """A file here and a window of the sidecar, the largest change on top, as many as are wanted."""
    fast, slow = [10_000_000] * 999, [20_000_000] * 999
    Path("base.json").write_bytes(save_of({"GET /a": fast, "GET /b": fast, "job": fast}))
    target.answer("GET /api/v1/profiling/saves/live", save_of({"GET /a": fast, "GET /b": slow, "job": slow * 9}))
    assert main(["plot", "compare", "base.json", "live", "--only", "GET *", "--top", "1", "-o", "a.svg"]) == 0
    drawn = Path("a.svg").read_text()
    assert "<!-- p95_time: base.json (grey) and live -->" in drawn
    assert "<!-- GET /b -->" in drawn
    assert not any(f"<!-- {name} -->" in drawn for name in ("GET /a", "job"))
    assert "<!-- 2.00x -->" in drawn
    assert main(["plot", "compare", "base.json", "base.json", "--only", "x"]) == 1


def test_a_history_is_asked_for(target: StandIn) -> None:
    """The span and the step go along with the question; steps without calls are gaps."""
    times = [f"2026-11-26T09:0{minute}:00.000000Z" for minute in range(4)]
    figures: list[dict[str, Any]] = [{"calls": 3, "p50_time": 0.1, "p95_time": 0.2, "p99_time": 0.3}, {"calls": 0}]
    figures.append({"calls": 1, "p50_time": 0.1, "p95_time": None, "p99_time": 0.3})
    steps = [{"start": start, "end": end, **each} for (start, end), each in zip(pairwise(times), figures, strict=True)]
    target.answer(HISTORY, json.dumps({"steps": steps, "meta": {}}).encode())
    assert main(["plot", "history", "GET /a", "--since", "15m", "--step", "60s", "-o", "a.svg"]) == 0
    assert "history?function_name=GET+%2Fa&since=15m&step=60s" in target.received[0].target
    assert "<!-- GET /a -->" in Path("a.svg").read_text()
    assert main(["plot", "history", "-o", "a.svg"]) == 0
    assert "<!-- all functions -->" in Path("a.svg").read_text()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"steps": []}, "no calls to draw"),
        ({"steps": [{"start": "2026-11-26T09:00:00Z", "end": "2026-11-26T09:01:00Z", "calls": 0}]}, "no calls to draw"),
        ({"steps": [{"start": "yesterday", "end": "now", "calls": 1}]}, "no history"),
        ({"steps": [{"calls": 1}]}, "no history"),
        ({}, "not that of a sidecar"),
    ],
)
def test_what_is_no_history_is_said(
    target: StandIn, answer: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what is wrong, and no file is left."""
    target.answer(HISTORY, json.dumps(answer).encode())
    assert main(["plot", "history"]) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().glob("*.png"))


@pytest.mark.parametrize("top", ["0", "101", "many"])
def test_more_bars_than_a_picture_holds_are_refused(top: str) -> None:
    """Wrong usage ends with 2."""
    with pytest.raises(SystemExit, match="2"):
        main(["plot", "slowest", "--top", top])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-o", "chart.txt"], "must end in .png, .svg, .pdf"),
        (["-o", "nowhere/chart.png"], "no directory nowhere"),
        (["-o", "taken.svg"], "chronoprof: cannot write taken.svg: Is a directory"),
        (["--from", "missing.json"], "cannot read missing.json"),
        (["--from", "broken.json"], "broken.json is no save"),
        (["--from", "other.json"], "it has no `data`"),
    ],
)
def test_what_cannot_be_drawn_is_said(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says what is wrong, and no file is left."""
    Path("broken.json").write_text("{")
    Path("other.json").write_text("[]")
    Path("taken.svg").mkdir()
    assert main(["plot", "slowest", *argv]) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().glob("*.png"))
