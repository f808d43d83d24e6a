"""Progress of work that keeps a person waiting: with rich where that is installed, as plain text elsewhere.

Owns when it is shown: on a terminal alone, on stderr, and not before half a second has passed. It leaves no trace.
"""

import sys
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Final, Protocol, Self

from chronoprof_sidecar.cli.text import harmless, shorten

DELAY_SECONDS: Final = 0.5
"""What is done by then needs no explanation."""
REDRAW_SECONDS: Final = 0.1
WHAT_CELLS: Final = 48


class _Bar(Protocol):
    def draw(self, done: int) -> None: ...
    def erase(self) -> None: ...


class Progress:
    """How much of some work is done, shown inside `with`."""

    def __init__(self, what: str, total: int, clock: Callable[[], float] = monotonic) -> None:
        """Take what is done, as people call it, and how many steps, or bytes, there are of it."""
        self._what = shorten(harmless(what), WHAT_CELLS)
        self._total = max(1, total)
        self._clock = clock
        self._done = 0
        self._bar: _Bar | None = None
        self._draw_at = float("inf")

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._draw_at = self._clock() + DELAY_SECONDS
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.erase()

    def advance(self, amount: int = 1) -> None:
        """Count so many steps more."""
        self._done += amount
        now = self._clock()
        if now < self._draw_at:
            return
        self._draw_at = now + REDRAW_SECONDS
        if self._bar is None:
            self._bar = _new_bar(self._what, self._total)
        self._bar.draw(min(self._done, self._total))


def _new_bar(what: str, total: int) -> _Bar:
    try:
        return _RichBar(what, total)
    except ImportError:
        return _PlainBar(what, total)


class _RichBar:
    def __init__(self, what: str, total: int) -> None:
        from rich.console import Console  # noqa: PLC0415 - an extra
        from rich.markup import escape  # noqa: PLC0415
        from rich.progress import Progress as RichProgress  # noqa: PLC0415

        self._progress = RichProgress(console=Console(stderr=True), transient=True, auto_refresh=False)
        self._task = self._progress.add_task(escape(what), total=total)
        self._progress.start()

    def draw(self, done: int) -> None:
        self._progress.update(self._task, completed=done, refresh=True)

    def erase(self) -> None:
        self._progress.stop()


class _PlainBar:
    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total

    def draw(self, done: int) -> None:
        self._write(f"\r{self._what} {done * 100 // self._total:3} %")

    def erase(self) -> None:
        self._write(f"\r{' ' * (WHAT_CELLS + len(' 100 %'))}\r")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
