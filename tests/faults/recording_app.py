"""An app that does nothing but record calls and look at its books; driven by lines on its standard input.

A line that says `look` is answered with the books as of now, one that says `end` with those after the last delivery.
"""

import json
import sys
import threading
from typing import Any

from chronoprof_sidecar.client import profiler

PAUSE_SECONDS = 0.005
SECONDS_TO_DELIVER = 120.0


class Recorder(threading.Thread):
    """Records a call, looks, and so on; only this thread records, so it knows what the books must say."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stopping = threading.Event()
        self.recorded = 0
        self.violations: list[str] = []

    def run(self) -> None:
        """Record until told to stop."""
        while not self.stopping.wait(PAUSE_SECONDS):
            profiler.record(f"f{self.recorded % 5}", 2**-9)
            self.recorded += 1
            self.look()

    def look(self) -> None:
        """Hold the books against the law, and against what was recorded."""
        books = profiler.stats()
        settled = books.acknowledged + books.rejected + books.dropped + books.unknown
        if not self.recorded == books.recorded == settled + books.buffered:
            self.violations.append(f"after {self.recorded}: {books}")

    def report(self) -> dict[str, Any]:
        """Return the books, and how often they were wrong."""
        return {**profiler.stats()._asdict(), "looks": self.recorded, "violations": self.violations}


def main() -> None:
    """Obey until told to end."""
    recorder = Recorder()
    recorder.start()
    for line in sys.stdin:
        delivered = None
        if line.strip() == "end":
            recorder.stopping.set()
            recorder.join()
            delivered = profiler.flush(SECONDS_TO_DELIVER)
        print(json.dumps({**recorder.report(), "delivered": delivered}), flush=True)  # noqa: T201  its protocol
        if delivered is not None:
            break


if __name__ == "__main__":
    main()
