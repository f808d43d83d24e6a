"""The wall clock of one process, set wrong while it runs: Debian's `faketime`, preloaded into it.

The kernel's own clock stays right; clocks that never jump are passed through, as a real jump leaves them alone.
"""

from pathlib import Path


class JumpingClock:
    """Offsets by which the processes that have `environ` see the wall clock wrong."""

    def __init__(self, path: Path) -> None:
        """Keep the offset in a file at `path`, which they read every second."""
        self._path = path
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(0)

    def set(self, offset_seconds: int) -> None:
        """Have the clock be wrong by so much, within a second."""
        whole = self._path.with_suffix(".new")
        whole.write_text(f"{offset_seconds:+d}\n")
        whole.rename(self._path)
