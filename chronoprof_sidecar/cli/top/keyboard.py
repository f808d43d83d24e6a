"""Single keys from a terminal, without waiting for Enter; none where stdin is no terminal."""

import os
import re
import select
import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self, TextIO

_SEQUENCE: Final = re.compile(r"\x1b[\[O][0-9;]*[ -/]*[@-~]")
"""What arrows and function keys send (ECMA-48, section 5.4)."""
_GONE: Final = "\x04"
"""What a terminal that was closed stands for: the end of input."""


class Keyboard:
    """Reads keys inside `with`; the terminal is as it was afterwards, whatever happens."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._restore = ExitStack()
        self._fd: int | None = None
        self._pressed = ""

    def __enter__(self) -> Self:
        if not self._stream.isatty() or sys.platform == "win32":
            return self
        import termios  # noqa: PLC0415 - not everywhere
        import tty  # noqa: PLC0415

        self._fd = self._stream.fileno()
        before = termios.tcgetattr(self._fd)
        self._restore.callback(termios.tcsetattr, self._fd, termios.TCSADRAIN, before)
        tty.setcbreak(self._fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore.close()

    def read(self, seconds: float) -> str | None:
        """Return a key that is pressed within so many seconds; None when none is.

        Keys that send a sequence, arrows for one, are passed over: they mean nothing here.
        """
        if not self._pressed:
            self._listen(seconds)
        key, self._pressed = self._pressed[:1], self._pressed[1:]
        return key or None

    def _listen(self, seconds: float) -> None:
        ready, _, _ = select.select([] if self._fd is None else [self._fd], [], [], max(0.0, seconds))
        if not ready or self._fd is None:
            return
        pressed = os.read(self._fd, 1024).decode("utf-8", "replace")
        self._pressed = _SEQUENCE.sub("", pressed) if pressed else _GONE
