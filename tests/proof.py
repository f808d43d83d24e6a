"""The table that `make faults` and `make attacks` end with: every guarantee, and the figures that its test reached."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.scale import FULL

_GUARANTEE = "guarantee"
_FIGURE = "figure"


@dataclass(frozen=True)
class Proof:
    """What one test adds to the table."""

    record: Callable[[str, object], None]

    def reached(self, what: str, figure: object, *, goal: object = None) -> None:
        """Show a figure, with its unit, beside its goal if it has one; asserting is the test's own business."""
        self.record(_FIGURE, f"{what} {figure}" + (f" (goal {goal})" if goal is not None else ""))


@pytest.fixture
def proof(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Proof:
    """The row of this test in the table; its guarantee is the test's docstring."""
    docstring = (request.function.__doc__ or "").strip()
    record_property(_GUARANTEE, " ".join(docstring.split("\n\n")[0].split()))
    return Proof(record_property)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table after a full-scale run."""
    if not FULL:
        return
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and dict(report.user_properties).get(_GUARANTEE)
    ]
    if reports:
        terminalreporter.section("guarantees and their proof")
    for report in sorted(reports, key=lambda report: report.nodeid):
        figures = [str(value) for name, value in report.user_properties if name == _FIGURE]
        terminalreporter.write_line(f"{report.outcome:6}  {dict(report.user_properties)[_GUARANTEE]}")
        terminalreporter.write_line(f"        {' · '.join(figures)} [{report.duration:.0f} s]  {report.nodeid}")
