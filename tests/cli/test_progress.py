"""Progress of long work: seen by people who wait, and by nobody else."""

import sys
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO

import pytest

from chronoprof_sidecar.cli.progress import DELAY_SECONDS, Progress

HOSTILE = "Reading [red]x[/red]\x1b[2J"


class Terminal(StringIO):
    """What stderr is on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(params=["rich", "plain"])
def terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Have a terminal, with rich and without."""
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def ticking(seconds: float) -> Callable[[], float]:
    """Return a clock that is later by so much each time it is read."""
    times = iter(seconds * tick for tick in range(10**6))
    return lambda: next(times)


def test_long_work_is_seen_and_leaves_no_trace(terminal: Terminal) -> None:
    """What takes longer than a moment shows its share, and its name as text, and erases them in the end."""
    with redirect_stderr(terminal), Progress(HOSTILE, 200, ticking(DELAY_SECONDS)) as progress:
        for _ in range(100):
            progress.advance()
        shown = terminal.getvalue()
    assert "Reading [red]x[/red]\\x1b[2J" in shown
    assert "50" in shown.split("\r")[-1]
    assert "\x1b[2J" not in shown
    assert terminal.getvalue().endswith(("\r", "\x1b[2K"))


def test_quick_work_is_not_seen(terminal: Terminal) -> None:
    """Nothing flashes."""
    with redirect_stderr(terminal), Progress("Reading", 10, ticking(DELAY_SECONDS / 100)) as progress:
        for _ in range(10):
            progress.advance()
    assert "" == terminal.getvalue()


def test_a_file_gets_none_of_it() -> None:
    """Where stderr is no terminal, nothing is written, however long the work takes."""
    with redirect_stderr(StringIO()) as written, Progress("Reading", 10, ticking(60)) as progress:
        progress.advance(10)
    assert "" == written.getvalue()


def test_more_than_there_was_said_to_be_is_all_of_it(terminal: Terminal) -> None:
    """An estimate that was too low ends at 100 %, and one of nothing divides by nothing."""
    for total in (0, 10):
        with redirect_stderr(terminal), Progress("Reading", total, ticking(60)) as progress:
            progress.advance(25)
        assert "100" in terminal.getvalue()
