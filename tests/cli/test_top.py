"""`chronoprof top`: what keys do, what the table says, and that a real terminal gets it and is left as it was."""

import io
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from chronoprof_sidecar.cli.main import main
from chronoprof_sidecar.cli.sparkline import sparkline
from chronoprof_sidecar.cli.top.board import Board
from chronoprof_sidecar.cli.top.screen import Screen
from chronoprof_sidecar.cli.top.view import SORT_KEYS, View
from tests.cli.conftest import KEY, StandIn

DATA = "GET /api/v1/profiling/data"
HOSTILE = "[red]evil[/red]\x1b[2J\n"


def report(calls: dict[str, int], *, complete: bool = True) -> dict[str, Any]:
    """Return an answer of `GET data` with these functions and their calls."""
    names = ("total_time", "avg_time", "p50_time", "p95_time", "p99_time", "max_time")
    durations = dict.fromkeys(names, 0.25)
    rows = {name: {"calls": count, "errors": 0, **durations} for name, count in calls.items()}
    meta = {"functions": len(rows), "services": ["shop"], "complete": complete, "dropped": 0 if complete else 3}
    return {"data": rows, "meta": meta}


def press(view: View, keys: str) -> bool:
    """Press keys one after the other; return what the last one said."""
    return [view.press(key) for key in keys][-1]


def test_a_service_without_a_name_is_shown() -> None:
    """What has none is a dash, as in every table, and not a line that breaks off."""
    board, answer = Board(), report({"a": 1})
    answer["meta"]["services"] = ["", "shop"]
    board.update(answer, 1.0)
    assert board.remarks()[0] == "1 function of -, shop"


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "column"), SORT_KEYS.items())
def test_keys_sort(key: str, column: str) -> None:
    """Each sort key asks anew, the largest first; names from A to Z; r turns either around."""
    view = View()
    assert view.press(key)
    assert (column, "asc" if key == "n" else "desc") == (view.sort, view.order)
    assert view.press("r")
    assert ("desc" if key == "n" else "asc") == view.order


@pytest.mark.parametrize(
    ("keys", "glob"),
    [("/cart\n", "*cart*"), ("/GET *\r", "GET *"), ("/carx\x7ft\n", "*cart*"), ("/cart\x1b", None), ("/\n", None)],
)
def test_a_filter_is_typed(keys: str, glob: str | None) -> None:
    """What is typed after / is a glob, or stands anywhere in a name; Enter takes it, Escape clears it."""
    view = View()
    assert press(view, keys)
    assert (glob, False) == (view.glob, view.is_typing)


def test_keys_are_text_while_typing() -> None:
    """A filter may hold the letters that are commands elsewhere, q above all."""
    view = View()
    press(view, "/quiet")
    assert (True, False, "quiet") == (view.is_typing, view.quits, view.pattern)


def test_escape_clears_the_filter_and_q_quits() -> None:
    """Without a filter Escape does nothing."""
    view = View(pattern="cart")
    assert (True, "") == (view.press("\x1b"), view.pattern)
    assert not view.press("\x1b")
    view.press("q")
    assert view.quits


# --- figures --------------------------------------------------------------------------------------------------------


def test_rates_are_calls_between_looks() -> None:
    """The rate is that since the last look; the first look and a reset have none."""
    board = Board()
    for now, calls in ((0.0, 10), (2.0, 30), (4.0, 70), (6.0, 5), (8.0, 5)):
        board.update(report({"f": calls}), now)
        rates = [row[1] for row in board.rows(trend_cells=0)]
        assert [{0.0: "-", 2.0: "10.0", 4.0: "20.0", 6.0: "-", 8.0: "0.0"}[now]] == rates


def test_a_function_that_comes_back_has_no_rate_of_the_time_between() -> None:
    """What was not looked at is unknown."""
    board = Board()
    for now, calls in ((0.0, {"f": 10}), (2.0, {"g": 10}), (4.0, {"f": 10, "g": 12})):
        board.update(report(calls), now)
    assert [["f", "-"], ["g", "1.0"]] == [row[:2] for row in board.rows(trend_cells=8)]


def test_the_newest_figure_of_a_trend_stands_last() -> None:
    """From the first look on, so that the trends of all rows are read from the same edge."""
    board = Board()
    for now, calls in ((0.0, 0), (1.0, 10), (2.0, 50)):
        board.update(report({"f": calls}), now)
        assert 8 == len(board.rows(trend_cells=8)[0][2])
    assert "      ▃█" == board.rows(trend_cells=8)[0][2]


def test_sparklines() -> None:
    """Bars grow with the values, from 0 on; what is not known is a gap."""
    assert "▁▃▅▇ █" == sparkline([0, 1, 2, 3, None, 3.5])
    assert "▁▁" == sparkline([0.0, 0.0])
    assert "" == sparkline([])


def draw(board: Board, view: View, width: int, height: int) -> list[str]:
    """Return the lines of a picture."""
    written = io.StringIO()
    console = Console(file=written, width=width, height=height, force_terminal=False)
    console.print(Screen(console).render(board, view, ""))
    return written.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (200, 50)])
def test_a_picture_fits_its_terminal(width: int, height: int) -> None:
    """No line is longer than the terminal, no picture higher, and the slowest are in it."""
    board = Board()
    board.update(report({f"GET /a/rather/long/route/{number}/{{item}}": number for number in range(99)}), 0.0)
    lines = draw(board, View(), width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    assert any(line.startswith("GET ") and "}" in line for line in lines)


@pytest.mark.parametrize("key", SORT_KEYS)
def test_80_columns_have_what_matters(key: str) -> None:
    """Whatever the rows are sorted by is shown, a trend beside it, and every key that sorts."""
    board = Board()
    for now in range(3):
        board.update(report({f"GET /a/rather/long/route/{number}/{{item}}": 10**7 * now for number in range(99)}), now)
    view = View()
    view.press(key)
    lines = draw(board, view, 80, 24)
    title = view.sort.removesuffix("_time").removesuffix("_name").upper()
    assert {"FUNCTION", "CALLS/s", "TREND", "CALLS", "P95", title} <= set(lines[1].split())
    assert all(f" {each} " in lines[-1] for each in SORT_KEYS)
    assert "…" not in lines[-1]


def test_columns_stay_where_they_are() -> None:
    """Looks that follow, and other names, move no column."""
    board, headings = Board(), set()
    for now in range(20):
        board.update(report({"x" * (3 * now + 1): 1000 + now, "y": 2000 + now}), now)
        headings.add(draw(board, View(), 80, 24)[1])
    assert 1 == len(headings)


def test_hostile_names_and_losses_are_shown() -> None:
    """A name is neither markup nor an escape; what was lost is said below the table."""
    board = Board()
    board.update(report({HOSTILE: 1}, complete=False), 0.0)
    written = io.StringIO()
    console = Console(file=written, width=120, height=20, force_terminal=True, color_system="truecolor")
    console.print(Screen(console).render(board, View(), "no answer from http://x"))
    shown = written.getvalue()
    assert "[red]evil[/red]\\x1b[2J\\n" in shown
    assert "no answer from http://x" in shown
    assert "\x1b[2J" not in shown
    assert "Not complete: 3 dropped" == board.remarks()[1]


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def target(sidecar: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Ask the stand-in."""
    sidecar.answer(DATA, json.dumps(report({"GET /cart": 7})).encode())
    monkeypatch.setenv("CHRONOPROF_URL", sidecar.url)
    monkeypatch.setenv("CHRONOPROF_API_KEY", KEY)
    return sidecar


def test_piped_it_is_printed_once(target: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal the table comes once, without colours, and the exit is 0."""
    assert main(["top", "--sort", "calls", "--match", "GET *"]) == 0
    printed = capsys.readouterr().out
    assert ["FUNCTION", "GET /cart", "1 function of shop", "Complete: nothing was lost"] == [
        line.split("  ")[0] for line in printed.splitlines()
    ]
    assert "\x1b" not in printed
    assert "sort=calls&order=desc&match=GET+%2A&limit=200" in target.received[0].target


def test_a_dumb_terminal_gets_the_table_once(terminal: tuple[int, int]) -> None:
    """Where nothing can be drawn over, the table is printed as into a pipe, and no key is waited for."""
    ours, theirs = terminal
    command = [sys.executable, "-m", "chronoprof_sidecar", "top"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, env={**os.environ, "TERM": "dumb"}) as process:
        assert b"\x1b" not in read_until(ours, b"Complete: nothing was lost")
        assert process.wait(20) == 0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal of 80 by 24."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def read_until(terminal: int, wanted: bytes, seconds: float = 20.0) -> bytes:
    """Return what a terminal was sent up to `wanted`."""
    deadline, seen = time.monotonic() + seconds, b""
    while wanted not in seen:
        assert select.select([terminal], [], [], deadline - time.monotonic())[0], seen
        seen += os.read(terminal, 65536)
    return seen


def test_on_a_terminal(target: StandIn, terminal: tuple[int, int]) -> None:
    """It draws, follows keys, survives a server that goes away, and leaves the terminal as it was."""
    ours, theirs = terminal
    before = termios.tcgetattr(theirs)
    environ = {**os.environ, "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "chronoprof_sidecar", "top", "--interval=0.2"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ) as process:
        read_until(ours, b"GET /cart")
        os.write(ours, b"c\x1b[A/car")
        read_until(ours, b"filter: car_")
        os.write(ours, b"t\n")
        read_until(ours, b"filter 'cart'")
        target.answer(DATA, b'{"error":{"code":"unavailable","message":"draining"}}', status=503)
        read_until(ours, b"draining")
        os.write(ours, b"q")
        assert process.wait(20) == 0
    assert before == termios.tcgetattr(theirs)
    assert any("sort=calls" in request.target and "match=%2Acart%2A" in request.target for request in target.received)
