"""Where processes begin and end without asking: forks, exits, multiprocessing's children, uWSGI.

Owns the hooks and what is known about the hosts. Holds engines by weak reference only, so that a profiler that nobody
uses any more can go. Must not know what an engine does about it.
"""

import atexit
import os
import sys
import weakref
from typing import Final, Protocol

EXIT_SECONDS: Final = 2.0
_LATE: Final = -100
"""Exit priority in multiprocessing: after its pools have ended, whose callbacks may still record."""


class Closable(Protocol):
    """What is told of forks and exits."""

    def close(self, timeout: float) -> bool: ...

    def after_fork(self) -> None: ...


def watch(engine: Closable) -> None:
    """Tell the engine of every fork, in the child, and of the interpreter's exit."""
    reference = weakref.ref(engine)

    def begin_anew() -> None:
        living = reference()
        if living is not None:
            living.after_fork()

    os.register_at_fork(after_in_child=begin_anew)
    atexit.register(_close, reference)


def close_with_multiprocessing(engine: Closable) -> None:
    """Tell the engine of the exit of a child of multiprocessing, where `atexit` is never run.

    Such a child clears the exit hooks that it inherited, so this is called when it records for the first time.
    """
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is not None and util is not None and process.parent_process() is not None:
        util.Finalize(None, _close, args=(weakref.ref(engine),), exitpriority=_LATE)


def threads_can_run() -> bool:
    """Say whether a background thread would get the interpreter.

    uWSGI before 2.0.27 keeps it to itself between requests unless it is told otherwise: a thread starts there, and
    never runs.
    """
    uwsgi = sys.modules.get("uwsgi")
    return uwsgi is None or bool(getattr(uwsgi, "has_threads", False))


def forks_unseen() -> bool:
    """Say whether this is uWSGI's master, or the process that loads the app in its place.

    It forks the workers in C, past Python's hooks, and a thread that holds the interpreter at that moment would hold it
    for ever in the worker.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or not hasattr(uwsgi, "masterpid"):
        return False
    return not uwsgi.worker_id() and uwsgi.masterpid() in (0, os.getpid())


def _close(reference: "weakref.ref[Closable]") -> None:
    living = reference()
    if living is not None:
        living.close(EXIT_SECONDS)
