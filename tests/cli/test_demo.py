"""The parts of the demo: its app, its users, its processes, its screen and how it is told to stop."""

import os
import signal
import socket
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from chronoprof_sidecar.cli.demo import app as demo_app
from chronoprof_sidecar.cli.demo import children
from chronoprof_sidecar.cli.demo.children import ChildFailedError, accepts_connections, find_port, run_child
from chronoprof_sidecar.cli.demo.load import Load, User
from chronoprof_sidecar.cli.demo.screen import LiveTable, conclude
from chronoprof_sidecar.cli.demo.stopping import SIGNALS, stop_on_signals
from chronoprof_sidecar.errors import SettingsError

PATIENCE_SECONDS = 30.0


def write_module(directory: Path, *lines: str) -> list[str]:
    """Write a module for a child to run, and return the arguments that run it."""
    (directory / "example.py").write_text("\n".join(lines))
    return ["example"]


def test_the_app_remembers_and_recalls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was observed is recalled, the best match first."""
    monkeypatch.setattr(demo_app, "BUSY_SHARE", 0.0)
    client = demo_app.create_app().test_client()
    for text in ("a red house", "a blue sky"):
        assert 201 == client.post("/api/v1/observe", data=text).status_code
    assert {"memories": ["a blue sky", "a red house"]} == client.get("/api/v1/recall?query=blue").json


def test_the_app_has_errors_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy store is the app's error, an empty observation the client's."""
    monkeypatch.setattr(demo_app, "BUSY_SHARE", 1.0)
    client = demo_app.create_app().test_client()
    assert 503 == client.post("/api/v1/observe", data="a red house").status_code
    assert 400 == client.post("/api/v1/observe").status_code


def test_a_user_books_what_became_of_each_request() -> None:
    """An answer, an answer with a 5xx, or no answer."""
    statuses = iter(["200 OK", "503 Service Unavailable"])

    def answer(_environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response(next(statuses), [("Content-Length", "0")])
        return []

    with make_server("127.0.0.1", 0, answer, handler_class=QuietHandler) as server:
        user = User(server.server_port, seed=1)
        for _ in range(2):
            serving = Thread(target=server.handle_request)
            serving.start()
            user.ask()
            serving.join()
    user.ask()
    assert (2, 1, 1) == (user.answered, user.failed, user.unanswered)


class QuietHandler(WSGIRequestHandler):
    """Serves without a word on stderr."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that the base class gave it
        """Say nothing."""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_waiting_for_good(number: signal.Signals) -> None:
    """Each of the signals wakes whoever waits, and whoever waits later, and kills nobody."""
    handler = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop.wait(0)
        os.kill(os.getpid(), number)
        assert stop.wait(PATIENCE_SECONDS)
        assert stop.wait(PATIENCE_SECONDS)
    assert handler == signal.getsignal(number)


def test_a_child_that_ends_by_itself_is_noticed_with_its_last_words(tmp_path: Path) -> None:
    """Waiting for a child that cannot start ends at once, and the message is the end of its log."""
    arguments = write_module(tmp_path, "raise SystemExit('no disk today')")
    with (
        stop_on_signals() as stop,
        run_child("app", arguments, os.environ, tmp_path) as child,
        pytest.raises(ChildFailedError, match=r"app ended with exit code 1\nno disk today"),
    ):
        child.wait_until(lambda: False, stop)


def test_a_child_that_never_gets_ready_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for readiness has an end."""
    monkeypatch.setattr(children, "READY_SECONDS", 0.2)
    arguments = write_module(tmp_path, "import threading", "threading.Event().wait()")
    with (
        stop_on_signals() as stop,
        run_child("app", arguments, os.environ, tmp_path) as child,
        pytest.raises(ChildFailedError, match="app was not ready within"),
    ):
        child.wait_until(lambda: False, stop)


def test_a_stop_while_a_child_starts_is_obeyed(tmp_path: Path) -> None:
    """Ctrl-C before the demo has begun ends the waiting for a child, and the child."""
    arguments = write_module(tmp_path, "import threading", "threading.Event().wait()")
    with stop_on_signals() as stop, run_child("app", arguments, os.environ, tmp_path) as child:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            child.wait_until(lambda: False, stop)


def test_a_child_that_will_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the demo is left behind, not even a process that ignores SIGTERM."""
    monkeypatch.setattr(children, "STOP_SECONDS", 0.2)
    arguments = write_module(
        tmp_path,
        "import pathlib, signal, threading",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "pathlib.Path('deaf').touch()",
        "threading.Event().wait()",
    )
    with stop_on_signals() as stop, run_child("app", arguments, os.environ, tmp_path) as child:
        child.wait_until((tmp_path / "deaf").exists, stop)
    with pytest.raises(ChildFailedError, match=f"exit code -{signal.SIGKILL:d}"):
        child.check()


def test_a_taken_port_is_refused_with_the_flag_that_helps() -> None:
    """The demo says which flag chooses another port, and 0 finds a free one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} .*: choose another with --app-port"):
            find_port(port, "--app-port")
    free = find_port(0, "--port")
    assert not accepts_connections(free)
    assert free == find_port(free, "--port")


SENDERS = {"senders": [{"instance": "web-1:411"}, {"instance": "web-1:412"}]}


def report(calls: int, generation: int) -> dict[str, Any]:
    """Return a report of `GET data` with two endpoints and a function."""
    row = {"errors": 0, "total_time": 1.0}
    rows = {"GET /api/v1/recall": {"calls": calls, **row}, "POST /api/v1/observe": {"calls": 1, **row}}
    meta = {"generation": generation, "functions": 3, "complete": True}
    return {"data": {**rows, "memories.search": {"calls": calls, **row}}, "meta": meta}


def load(answered: int, unanswered: int = 0) -> Load:
    """Return a load whose only user has got so far."""
    user = User(0, seed=1)
    user.answered, user.unanswered = answered, unanswered
    return Load([user])


def test_the_conclusion_holds_one_count_against_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    """At the end stand the answers that the users counted and the calls of endpoints that the sidecar counted."""
    conclude(report(calls=6, generation=1), SENDERS, load(answered=7), first_generation=1)
    expected = "Its users counted 7 answers, the sidecar 7 calls in 2 worker processes."
    assert expected == capsys.readouterr().out.splitlines()[-1]


def test_the_conclusion_says_why_counts_may_differ(capsys: pytest.CaptureFixture[str]) -> None:
    """Requests without answer and resets are named where the counts stand."""
    conclude(report(calls=6, generation=2), SENDERS, load(answered=9, unanswered=3), first_generation=1)
    output = capsys.readouterr().out
    assert "3 requests got no answer" in output
    assert "with your last reset" in output


def test_the_table_is_drawn_over_its_predecessor_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cursor goes up by exactly the lines of the last drawing, none of which is wider than the terminal."""
    monkeypatch.setattr("chronoprof_sidecar.cli.demo.screen.terminal_width", lambda: 40)
    table = LiveTable()
    table.draw(report(calls=6, generation=1), load(answered=7))
    first = capsys.readouterr().out.removeprefix("\x1b[J")
    table.draw(report(calls=7, generation=1), load(answered=8))
    second = capsys.readouterr().out
    assert second.startswith(f"\x1b[{first.count(chr(10))}A\x1b[J")
    assert max(map(len, first.splitlines())) <= 40
