"""How the demo is told to stop: Ctrl-C, SIGTERM, or a terminal that was closed.

A signal wakes whoever waits and does nothing else, so that the demo always ends along the same way, and a second
Ctrl-C cannot interrupt the stopping of its children.
"""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequest:
    """Whether the demo was told to stop; waiting for it is how the demo passes its time."""

    def __init__(self, reader: int) -> None:
        self._reader = reader

    def wait(self, seconds: float) -> bool:
        """Return True as soon as the demo is told to stop, False after `seconds`."""
        # The byte stays in the pipe: told once is told for good.
        return bool(select.select([self._reader], [], [], max(0.0, seconds))[0])


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Take over the signals inside the block; only the main thread may."""
    reader, writer = os.pipe()
    # Python-level handlers run between bytecodes; select() is woken by the byte, not by them.
    os.set_blocking(writer, False)
    previous = {number: signal.signal(number, lambda *_: None) for number in SIGNALS}
    previous_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield StopRequest(reader)
    finally:
        signal.set_wakeup_fd(previous_fd)
        for number, handler in previous.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
