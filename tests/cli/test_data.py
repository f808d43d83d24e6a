"""`chronoprof data`: tables that are true, aligned and harmless."""

import json
import os
import pty
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cli.conftest import KEY, Run, StandIn

DATA = "GET /api/v1/profiling/data"
ROW = {
    "calls": 1200, "total_time": 3.72, "min_time": 0.0001, "max_time": 0.25, "avg_time": 0.0031, "p50_time": 0.000412,
    "p90_time": 0.005, "p95_time": 0.0061, "p99_time": 0.21, "errors": 3, "first_seen": "x", "last_seen": "y",
}  # fmt: skip
META = {
    "generation": 4, "window_start": "2026-11-03T10:00:00Z", "generated_at": "2026-11-03T11:00:00Z", "functions": 2,
    "services": ["shop"], "complete": True, "dropped": 0, "rejected": 0, "unknown": 0, "overflowed": 0, "set_aside": 0,
    "sampled": False,
}  # fmt: skip


def report(names: list[str], **meta: object) -> bytes:
    """Return an answer with the same row under each name."""
    return json.dumps({"data": dict.fromkeys(names, ROW), "meta": META | {"functions": len(names)} | meta}).encode()


def test_the_table_shows_calls_and_durations(ask: Run, sidecar: StandIn) -> None:
    """Rows come in the order of the answer, durations in their own unit, and a summary below them."""
    sidecar.answer(DATA, report(["GET /recall", "POST /observe/{id}"]))

    ran = ask("data")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "FUNCTION            CALLS  ERRORS   TOTAL      AVG     P50      P95     P99",
        "GET /recall          1200       3  3.72 s  3.10 ms  412 µs  6.10 ms  210 ms",
        "POST /observe/{id}   1200       3  3.72 s  3.10 ms  412 µs  6.10 ms  210 ms",
        "Functions: 2; generation 4, since 2026-11-03T10:00:00Z",
        "Complete: nothing was lost",
    ]


def test_what_is_missing_is_said_below_the_table(ask: Run, sidecar: StandIn) -> None:
    """Losses are named with their figures, sampling and a limit are said."""
    sidecar.answer(DATA, report(["a"], functions=7, complete=False, dropped=5, set_aside=1, sampled=True))

    assert ask("data").out.splitlines()[-2:] == [
        "Functions: 1 of 7; generation 4, since 2026-11-03T10:00:00Z",
        "Not complete: 5 dropped, 1 set aside; sampled, so counts are estimates",
    ]


def test_no_rows_are_no_table(ask: Run, sidecar: StandIn) -> None:
    """An empty window is said in words."""
    sidecar.answer(DATA, report([]))

    assert ask("data").out.splitlines()[0] == "No calls."


def test_hostile_names_neither_break_lines_nor_colour_them(ask: Run, sidecar: StandIn) -> None:
    """A name is one cell of one row, whatever it is made of."""
    sidecar.answer(DATA, report(["\x1b[31mred\x1b[0m", "forged\nGET /recall  0", "\x9b2J\u202e"]))

    out = ask("data").out

    assert len(out.splitlines()) == 1 + 3 + 2
    assert out.replace("\n", "").isprintable()


def test_every_filter_becomes_a_parameter(ask: Run, sidecar: StandIn) -> None:
    """The sidecar filters and sorts; what is not given is not sent."""
    sidecar.answer(DATA, report([]))

    ask("data", "GET /a b&c", "--match", "GET *", "--service", "s", "--version", "1+2", "--sort", "calls", "--order",
        "asc", "--limit", "5")  # fmt: skip
    ask("data")

    assert [parse_qs(urlsplit(request.target).query) for request in sidecar.received] == [
        {
            "function_name": ["GET /a b&c"],
            "match": ["GET *"],
            "service": ["s"],
            "version": ["1+2"],
            "sort": ["calls"],
            "order": ["asc"],
            "limit": ["5"],
        },
        {},
    ]


def test_json_is_passed_through(ask: Run, sidecar: StandIn) -> None:
    """`--json` prints the answer as it came, byte for byte."""
    answer = report(["GET /recall", "日本"])
    sidecar.answer(DATA, answer)

    assert ask("data", "--json").out == f"{answer.decode()}\n"


def _environment(sidecar: StandIn, **more: str) -> dict[str, str]:
    return os.environ | {"CHRONOPROF_URL": sidecar.url, "CHRONOPROF_API_KEY": KEY} | more


@pytest.mark.parametrize("columns", [80, 120])
def test_rows_fit_a_real_terminal(sidecar: StandIn, columns: int) -> None:
    """On a terminal, names are cut in the middle so that no row is wider than it; in a pipe they stay whole."""
    name = "GET /api/v1/" + "very/" * 40 + "long"
    sidecar.answer(DATA, report([name]))
    command = [sys.executable, "-m", "chronoprof_sidecar", "data"]
    ours, theirs = pty.openpty()

    subprocess.run(command, stdout=theirs, env=_environment(sidecar, COLUMNS=str(columns)), check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    piped = subprocess.run(command, capture_output=True, env=_environment(sidecar), check=True, timeout=60)

    row = shown.splitlines()[1]
    assert len(row) == columns
    assert "…" in row
    assert (row[:11], row.endswith("210 ms")) == ("GET /api/v1", True)
    assert name in piped.stdout.decode()


@pytest.mark.parametrize("rows", [5, 5000])
def test_a_reader_that_leaves_is_no_traceback(sidecar: StandIn, rows: int) -> None:
    """`chronoprof data | head -1` ends quietly, however much was still to come."""
    sidecar.answer(DATA, report([f"function {number}" for number in range(rows)]))
    process = subprocess.Popen(
        [sys.executable, "-m", "chronoprof_sidecar", "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(sidecar),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stderr:
        process.stdout.close()
        errors = process.stderr.read()

    assert (process.returncode, errors) == (1, b"")


def test_a_terminal_without_the_characters_gets_escapes(sidecar: StandIn) -> None:
    """Where the encoding has no µ, it is escaped; a table is never a traceback."""
    sidecar.answer(DATA, report(["日本"]))

    ran = subprocess.run(
        [sys.executable, "-m", "chronoprof_sidecar", "data"],
        capture_output=True,
        env=_environment(sidecar, PYTHONIOENCODING="ascii"),
        check=True,
        timeout=60,
    )

    assert rb"\u65e5\u672c" in ran.stdout
    assert rb"412 \xb5s" in ran.stdout


def test_a_span_is_asked_for_and_said(ask: Run, sidecar: StandIn) -> None:
    """`--since` and `--until` reach the sidecar, and the summary says which span the rows are of."""
    sidecar.answer(DATA, report(["a"], since="2026-11-03T09:00:00Z", until="2026-11-03T09:15:00Z", late=4))

    ran = ask("data", "--since", "15m", "--until", "now")

    assert ran.out.splitlines()[-2:] == [
        "Functions: 1; from 2026-11-03T09:00:00Z to 2026-11-03T09:15:00Z",
        "Complete: nothing was lost; 4 came late",
    ]
    assert parse_qs(urlsplit(sidecar.received[0].target).query) == {"since": ["15m"], "until": ["now"]}
