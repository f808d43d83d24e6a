"""The entry point: usage, versions and exit codes."""

import subprocess
import sys

import pytest

from chronoprof_sidecar import __version__
from tests.cli.conftest import Run


def test_the_module_is_the_command() -> None:
    """`python -m chronoprof_sidecar` runs where no script is on the path."""
    ran = subprocess.run(
        [sys.executable, "-m", "chronoprof_sidecar", "--version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert ran.stdout == f"chronoprof {__version__}\n"


@pytest.mark.parametrize(
    "argv", [[], ["no-such-command"], ["data", "--no-such-flag"], ["data", "--limit", "x"], ["send"]]
)
def test_wrong_usage_is_two(run: Run, argv: list[str]) -> None:
    """What cannot be understood ends with 2 and the usage, before anything is done."""
    ran = run(*argv)

    assert ran.code == 2
    assert ran.err.startswith("usage: chronoprof")


def test_flags_are_not_abbreviated(run: Run) -> None:
    """An abbreviation in a script would change its meaning when a new flag comes."""
    ran = run("serve", "--por", "1")

    assert ran.code == 2
    assert "unrecognized arguments: --por 1" in ran.err


def test_help_lists_every_command(run: Run) -> None:
    """Whoever types `--help` sees what there is."""
    out = run("--help").out

    commands = [
        "serve",
        "keys",
        "demo",
        "run",
        "top",
        "data",
        "plot",
        "reset",
        "save",
        "rotate",
        "senders",
        "send",
        "check",
    ]
    assert [name for name in commands if f"\n    {name} " not in out] == []
