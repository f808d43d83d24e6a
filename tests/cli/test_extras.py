"""Packages that are not there: one line with the command that installs them."""

import subprocess
import sys
from pathlib import Path

import pytest

from chronoprof_sidecar.cli.extras import MissingExtraError, needs_extra
from tests.cli.conftest import KEY

WITHOUT_PACKAGES = """
import sys
for name in ("aiohttp", "msgspec", "orjson", "dotenv", "flask", "gunicorn", "rich", "matplotlib",
             "asyncpg"):
    sys.modules[name] = None
from chronoprof_sidecar.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def _run_bare(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run a command as in an environment that holds nothing but this distribution."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_PACKAGES, *argv], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    "command", ["top", "data", "plot", "reset", "save", "rotate", "senders", "send", "keys", "check", "serve", "import"]
)
def test_every_parser_works_on_the_standard_library(command: str) -> None:
    """Help is there before anything is installed."""
    assert _run_bare(command, "--help").returncode == 0


def test_keys_and_their_use_need_no_package() -> None:
    """A bare installation makes keys, finds them in `.env` and asks with them."""
    assert _run_bare("keys", "--write", ".env").returncode == 0
    asked = _run_bare("data", "--url", "http://127.0.0.1:1")

    assert (asked.returncode, asked.stderr.count("\n")) == (1, 1)
    assert "no answer from" in asked.stderr


@pytest.mark.parametrize(("argv", "extra"), [(["serve"], "server"), (["import", "a.json"], "server,fleet")])
def test_the_command_names_its_extra(tmp_path: Path, argv: list[str], extra: str) -> None:
    """What is missing is said in one line, with the command to type."""
    (tmp_path / ".env").write_text(f"CHRONOPROF_ADMIN_KEYS={KEY}\nCHRONOPROF_STORE=postgresql://127.0.0.1:1/none\n")

    ran = _run_bare(*argv)

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"chronoprof: `chronoprof {argv[0]}` needs ")
    assert ran.stderr.endswith(f": pip install 'chronoprof-sidecar[{extra}]'\n")
    assert ran.stderr.count("\n") == 1


def test_a_module_of_our_own_that_is_missing_is_a_bug() -> None:
    """Only foreign packages are blamed on the installation."""
    with pytest.raises(ModuleNotFoundError), needs_extra("server", "serve"):
        __import__("chronoprof_sidecar.no_such_module")
    missing = pytest.raises(MissingExtraError, match=r"needs no_such_package,.*chronoprof-sidecar\[server\]")
    with missing, needs_extra("server", "serve"):
        __import__("no_such_package.part")
