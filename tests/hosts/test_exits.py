"""Every way in which a process ends, and what it leaves behind."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from tests.hosts.script import Script
from tests.process.sidecar import Sidecar

LONG = "60"
"""A flush interval, so that nothing is shipped but at the exit."""

EXIT_SECONDS = 2.5
"""What a process may take to end while the sidecar does not answer."""
HARNESS_SECONDS = 4.0
"""What the end of an interpreter may take on a busy machine. Left alone, the transport would wait for ten seconds."""

RECORD = """
import os, signal, sys, time
from chronoprof_sidecar.client import profiler

@profiler.timed("work")
def work():
    pass

for _ in range(5):
    work()
"""

ENDINGS = {
    "end of the script": ("", 0),
    "50 ms": ("time.sleep(0.05)", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "sys.exit in a frame that is timed": ("profiler.timed('leaving')(sys.exit)(3)", 3),
    "flush before os._exit": ("assert profiler.flush(30.0)\nos._exit(3)", 3),
    "close before os._exit": ("assert profiler.close(30.0)\nos._exit(3)", 3),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_that_ends_by_itself(sidecar: Sidecar, script: Script, ending: str) -> None:
    """A process that ends long before its first flush is due ships all that it timed."""
    text, code = ENDINGS[ending]
    script.run(RECORD + text, code=code, CHRONOPROF_FLUSH_INTERVAL=LONG)
    assert 5 == sidecar.calls()["work"]
    assert [ending != "flush before os._exit"] == [sender["final"] for sender in sidecar.senders()]


HANDLERS = {
    "sys.exit": ("signal.signal(NUMBER, lambda *_: sys.exit(3))\n", 5, 3),
    "exception": (
        """
class Stop(BaseException): pass
def stop(*_):
    work()
    raise Stop
signal.signal(NUMBER, stop)
sys.excepthook = lambda *_: None
""",
        6,
        1,
    ),
    "flush": (
        """
def stop(*_):
    work()
    assert profiler.flush(30.0)
    os._exit(3)
signal.signal(NUMBER, stop)
""",
        6,
        3,
    ),
}
"""The handler, the calls of `work` that it leaves behind, and the exit code."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_process_that_handles_its_signal(
    sidecar: Sidecar, script: Script, handler: str, number: signal.Signals
) -> None:
    """A handler may time calls, flush, and leave by any exception, in the middle of a timed call at that."""
    text, calls, code = HANDLERS[handler]
    wait = "print('ready', flush=True)\nwith profiler.timer('waiting'):\n    while True: time.sleep(0.05)\n"
    script.start(RECORD + text.replace("NUMBER", str(int(number))) + wait, CHRONOPROF_FLUSH_INTERVAL=LONG)
    assert "ready" == script.read_line()
    script.end(code=code, number=number)
    assert calls == sidecar.calls()["work"]


KILLS = {
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "SIGTERM without a handler": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    "os._exit": ("os._exit(3)", 3),
}


@pytest.mark.parametrize("kill", KILLS)
def test_a_process_that_is_cut_off(sidecar: Sidecar, script: Script, kill: str) -> None:
    """What it had not shipped is lost, as documented; it ends at once, and the next process counts in full."""
    text, code = KILLS[kill]
    script.run(RECORD + "assert profiler.flush(30.0)\nwork()\n" + text, code=code, CHRONOPROF_FLUSH_INTERVAL=LONG)
    assert {"work": 5} == sidecar.calls()
    script.run(RECORD, CHRONOPROF_FLUSH_INTERVAL=LONG)
    assert {"work": 10} == sidecar.calls()
    assert {True, False} == {sender["final"] for sender in sidecar.senders()}


@contextmanager
def black_hole(backlog: int) -> Iterator[int]:
    """Listen on a port and accept nothing: connections are made by the system, as many as the backlog holds."""
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        yield listener.getsockname()[1]


@contextmanager
def full_black_hole() -> Iterator[int]:
    """Listen on a port whose backlog is full, so that not even a connection is made."""
    with black_hole(0) as port, closing(socket.socket()) as first, closing(socket.socket()) as second:
        first.connect(("127.0.0.1", port))
        second.setblocking(False)
        second.connect_ex(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize("hole", [lambda: black_hole(8), full_black_hole], ids=["no answer", "no connection"])
@pytest.mark.parametrize("flushing", [False, True], ids=["idle", "sending"])
def test_an_exit_beside_a_black_hole(
    script: Script, hole: Callable[[], AbstractContextManager[int]], flushing: bool
) -> None:
    """A sidecar that never answers costs the exit of an app two seconds and no more, wherever it finds the thread."""
    with hole() as port:
        send = "profiler.flush(0.5)\n" if flushing else ""
        text = RECORD + send + "print('ends', flush=True)"
        script.start(text, CHRONOPROF_URL=f"http://127.0.0.1:{port}", CHRONOPROF_FLUSH_INTERVAL=LONG)
        assert "ends" == script.read_line()
        began = time.monotonic()
        script.end()
        assert time.monotonic() - began < EXIT_SECONDS + HARNESS_SECONDS


def test_an_exit_beside_a_frozen_sidecar(sidecar: Sidecar, script: Script) -> None:
    """A sidecar that froze costs the exit no more; what it finds in its connection afterwards, it counts once."""
    with sidecar.frozen():
        script.start(RECORD + "print('ends', flush=True)", CHRONOPROF_FLUSH_INTERVAL=LONG)
        assert "ends" == script.read_line()
        began = time.monotonic()
        script.end()
        assert time.monotonic() - began < EXIT_SECONDS + HARNESS_SECONDS
    assert sidecar.calls() in ({}, {"work": 5})
