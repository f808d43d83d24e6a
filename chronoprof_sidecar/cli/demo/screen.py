"""What the demo shows: how to ask the sidecar, the table while it grows, and the count at the end.

Must not know how the processes run.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

from chronoprof_sidecar.cli.data import render_report
from chronoprof_sidecar.cli.demo.load import Load
from chronoprof_sidecar.cli.table import terminal_width
from chronoprof_sidecar.cli.text import shorten
from chronoprof_sidecar.cli.transport import as_list, as_mapping
from chronoprof_sidecar.protocol import DATA_PATH, RESET_PATH, SAVE_PATH

INTRODUCTION: Final = """\
The sidecar is at {url}, the app at http://localhost:{app_port}
(its log and the sidecar's: {directory}).

Ask the sidecar from another terminal. The key was made for this demo, which is why it is shown, and ends with it:

curl -X GET "{url}{data}" \\
  -H "X-API-Key: {key}"

curl -X POST "{url}{reset}" \\
  -H "X-API-Key: {key}"

curl -X POST "{url}{save}?file_path=profiling_data.json" \\
  -H "X-API-Key: {key}"

{end}
"""


def introduce(url: str, key: str, app_port: int, directory: str, duration_seconds: float | None) -> None:
    """Print where everything is, and the lines to paste."""
    end = "Ctrl-C ends it." if duration_seconds is None else f"It ends after {duration_seconds:g} s, or with Ctrl-C."
    paths = {"data": DATA_PATH, "reset": RESET_PATH, "save": SAVE_PATH}
    print(INTRODUCTION.format(url=url, key=key, app_port=app_port, directory=directory, end=end, **paths), flush=True)


class LiveTable:
    """A table that is drawn over its predecessor on a terminal, and below it elsewhere."""

    def __init__(self) -> None:
        self._lines_drawn = 0

    def draw(self, report: Mapping[str, Any], load: Load) -> None:
        """Show a `GET data` report and how far the load is."""
        width = terminal_width()
        counts = (
            f"Load: {load.answered} answers, {load.failed} of them a 5xx; {load.unanswered} requests without answer"
        )
        lines = ["", *render_report(report, width).splitlines(), counts]
        if width is None:
            print(*lines, sep="\n", flush=True)
            return
        # A line that wraps would be two, and the cursor would go up too little.
        fitting = "\n".join(shorten(line, width) for line in lines)
        up = f"\x1b[{self._lines_drawn}A" if self._lines_drawn else ""
        sys.stdout.write(f"{up}\x1b[J{fitting}\n")
        sys.stdout.flush()
        self._lines_drawn = len(lines)


def conclude(report: Mapping[str, Any], senders: Mapping[str, Any], load: Load, first_generation: object) -> None:
    """Print what the load counted beside what the sidecar counted, now that every process of the app has ended."""
    rows = as_mapping(report.get("data"))
    counted = sum(row["calls"] for name, row in rows.items() if " /api/" in name)
    processes = len(as_list(senders.get("senders")))
    print("\nThe app has stopped.")
    print(f"Its users counted {load.answered} answers, the sidecar {counted} calls in {processes} worker processes.")
    if load.unanswered:
        print(f"{load.unanswered} requests got no answer; the app may have counted them.")
    if as_mapping(report.get("meta")).get("generation") != first_generation:
        print("The sidecar's count began anew with your last reset.")
