"""`chronoprof history`: plots that fit a terminal, and lines that a pipe can read."""

import json
import os
import pty
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

from chronoprof_sidecar.cli.history import bars, render_plots
from chronoprof_sidecar.cli.text import width_of
from tests.cli.conftest import KEY, Run, StandIn

HISTORY = "GET /api/v1/profiling/history"
META = {
    "since": "2026-11-03T09:00:00.000000Z", "until": "2026-11-03T10:00:00.000000Z", "step": 900, "services": ["shop"],
    "generated_at": "x", "complete": True, "dropped": 0, "rejected": 0, "unknown": 0, "overflowed": 0, "set_aside": 0,
    "sampled": False, "late": 0,
}  # fmt: skip


def step(minute: int, calls: int, seconds: float | None) -> dict[str, object]:
    """Return a step of the answer."""
    names = ("min_time", "max_time", "avg_time", "p50_time", "p90_time", "p95_time", "p99_time")
    return {
        "start": f"2026-11-03T09:{minute:02}:00.000000Z", "end": "x", "calls": calls, "errors": 0, "total_time": 0.0,
        **dict.fromkeys(names, seconds), "resolution": 60, "complete": True, "late": 0,
    }  # fmt: skip


STEPS = [step(0, 10, 0.001), step(15, 0, None), step(30, 80, 0.004), step(45, 40, 0.008)]


def report(**meta: object) -> bytes:
    return json.dumps({"steps": STEPS, "meta": META | meta}).encode()


def test_a_pipe_gets_a_line_for_every_step_with_calls(ask: Run, sidecar: StandIn) -> None:
    """Steps come in order, without those that nothing was called in, and what they cover stands below them."""
    sidecar.answer(HISTORY, report(complete=False, dropped=3, late=2))

    ran = ask("history", "GET /recall")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "START              RESOLUTION  CALLS  ERRORS      P50      P95      P99",
        "2026-11-03T09:00Z  1 min          10       0  1.00 ms  1.00 ms  1.00 ms",
        "2026-11-03T09:30Z  1 min          80       0  4.00 ms  4.00 ms  4.00 ms",
        "2026-11-03T09:45Z  1 min          40       0  8.00 ms  8.00 ms  8.00 ms",
        "GET /recall: 4 steps of 15 min, 2026-11-03T09:00Z to 2026-11-03T10:00Z",
        "Not complete: 3 dropped; 2 came late",
    ]


def test_plots_have_gaps_where_nothing_was_called() -> None:
    """One line each for calls and percentiles: bars, and the figures that they stand for."""
    lines = render_plots(json.loads(report()), "GET /recall", 80).splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["calls", "▂", "█▅", "10", "80", "40"],
        *([label, "▂", "▅█", "1.00", "ms", "8.00", "ms", "8.00", "ms"] for label in ("p50", "p95", "p99")),
    ]
    assert lines[0].split() == ["GET", "/recall", "LOWEST", "HIGHEST", "LAST"]


def test_plots_fit_the_terminal() -> None:
    """Whatever the name and however many the steps, no line is wider than the terminal."""
    many = {"steps": STEPS * 300, "meta": META}
    for width in (60, 80, 200):
        lines = render_plots(many, "a long name " * 20, width).splitlines()
        assert max(map(width_of, lines)) <= max(width, 76)


def test_steps_that_share_a_cell_show_the_largest() -> None:
    """A peak of one step is seen in a plot of fewer cells."""
    assert bars([1.0, None, None, None, 8.0, 1.0, 1.0, 1.0], 4) == "▂ █▂"


def test_no_calls_are_said_in_words(ask: Run, sidecar: StandIn) -> None:
    """An empty span is no table."""
    sidecar.answer(HISTORY, json.dumps({"steps": [step(0, 0, None)], "meta": META}).encode())
    assert ask("history").out.splitlines()[0] == "No calls."


def test_flags_become_the_query(ask: Run, sidecar: StandIn) -> None:
    """Every flag is the query parameter of the same meaning, and --json prints the answer as it came."""
    sidecar.answer(HISTORY, report())

    ran = ask(
        "history", "GET /recall", "--match", "GET *", "--service", "shop", "--version", "1", "--since", "15m",
        "--until", "now", "--step", "5m", "--json",
    )  # fmt: skip

    assert json.loads(ran.out) == json.loads(report())
    assert parse_qs(urlsplit(sidecar.received[0].target).query) == {
        "function_name": ["GET /recall"], "match": ["GET *"], "service": ["shop"], "version": ["1"], "since": ["15m"],
        "until": ["now"], "step": ["5m"],
    }  # fmt: skip


def test_hostile_names_and_answers_do_no_harm(ask: Run, sidecar: StandIn) -> None:
    """An odd answer gives no traceback, and no escape of a name reaches the terminal."""
    sidecar.answer(HISTORY, b'{"steps": [{"calls": "x", "start": 7}], "meta": {"since": "\\u001b[31m"}}')
    ran = ask("history", "\x1b[31mred")
    assert ran.code == 0
    assert "\x1b" not in ran.out


def test_a_terminal_gets_plots(sidecar: StandIn) -> None:
    """On a terminal of 80 columns the plots stand where a pipe gets lines."""
    sidecar.answer(HISTORY, report())
    leader, follower = pty.openpty()
    env = {"CHRONOPROF_URL": sidecar.url, "CHRONOPROF_API_KEY": KEY, "COLUMNS": "80", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "chronoprof_sidecar", "history"]
    subprocess.run(command, stdout=follower, env=env | {"PYTHONIOENCODING": "utf-8"}, check=True, timeout=60)
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert "▅█" in shown
    assert max(map(width_of, shown.splitlines())) <= 80
