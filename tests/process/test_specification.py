"""The specification's own commands and script, verbatim but for key, host and port, against a real sidecar.

The text of every command is the specification's; `your-api-key` and `localhost:8000` are replaced before it runs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.sidecar import ADMIN_KEY, Sidecar

SCRIPT = Path(__file__).parent / "specification" / "plot_endpoints.py"

GET_DATA = """\
curl -X GET "http://localhost:8000/api/v1/profiling/data" \\
  -H "X-API-Key: your-api-key"
"""
RESET = """\
curl -X POST "http://localhost:8000/api/v1/profiling/reset" \\
  -H "X-API-Key: your-api-key"
"""
SAVE = """\
curl -X POST "http://localhost:8000/api/v1/profiling/save?file_path=profiling_data.json" \\
  -H "X-API-Key: your-api-key"
"""
COLLECT = """\
curl -X GET "http://localhost:8000/api/v1/profiling/data" \\
  -H "X-API-Key: your-api-key" > profiling_results.json
"""
CRON_SAVE = (
    r'curl -X POST "http://localhost:8000/api/v1/profiling/save?file_path=profiling_$(date +\%Y\%m\%d\%H).json"'
    ' -H "X-API-Key: your-api-key"'
)
CRON_RESET = 'curl -X POST "http://localhost:8000/api/v1/profiling/reset" -H "X-API-Key: your-api-key"'

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def run_command(sidecar: Sidecar, directory: Path, command: str) -> str:
    """Run one of the specification's commands, and return what it prints."""
    text = command.replace("your-api-key", ADMIN_KEY).replace("localhost:8000", f"localhost:{sidecar.port}")
    done = subprocess.run(["bash", "-ec", text], cwd=directory, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


@pytest.fixture
def loaded(sidecar: Sidecar) -> Sidecar:
    """A sidecar that holds the specification's own example."""
    durations = {"GET /api/v1/recall": [0.1, 0.5, *[0.2375] * 8], "POST /api/v1/observe": [0.15, 0.3, 0.15, 0.2, 0.2]}
    status, _ = sidecar.request("POST", "/api/v1/profiling/ingest", {"durations": durations})
    assert status == 200
    return sidecar


def test_get_data(loaded: Sidecar, tmp_path: Path) -> None:
    """The five figures of the specification's example come out as it shows them."""
    rows = json.loads(run_command(loaded, tmp_path, GET_DATA))["data"]
    shown = ("calls", "total_time", "min_time", "max_time", "avg_time")
    assert {name: [row[column] for column in shown] for name, row in rows.items()} == {
        "GET /api/v1/recall": [10, 2.5, 0.1, 0.5, 0.25],
        "POST /api/v1/observe": [5, 1.0, 0.15, 0.3, 0.2],
    }
    assert list(rows["GET /api/v1/recall"])[:5] == list(shown)


def test_save_and_reset(loaded: Sidecar, tmp_path: Path) -> None:
    """Saving answers with the specification's message, resetting with nothing."""
    assert json.loads(run_command(loaded, tmp_path, SAVE))["message"] == "Profiling data saved to profiling_data.json"
    assert run_command(loaded, tmp_path, RESET) == ""
    assert loaded.data() == {}


def test_cron_lines(loaded: Sidecar, tmp_path: Path) -> None:
    """The hourly save and the daily reset work as cron runs them (it removes the backslash before a percent sign)."""
    answer = json.loads(run_command(loaded, tmp_path, CRON_SAVE.replace(r"\%", "%")))
    assert re.fullmatch(r"Profiling data saved to profiling_\d{10}\.json", answer["message"])
    assert run_command(loaded, tmp_path, CRON_RESET) == ""
    assert loaded.data() == {}


@pytest.mark.parametrize("source", ["data", "save"])
def test_the_plotting_script(loaded: Sidecar, tmp_path: Path, source: str) -> None:
    """The script draws its chart, unchanged, from `GET data` and from a saved file."""
    if source == "data":
        run_command(loaded, tmp_path, COLLECT)
    else:
        run_command(loaded, tmp_path, SAVE)
        saved = loaded.directory / "data" / "saves" / "profiling_data.json"
        shutil.copy(saved, tmp_path / "profiling_results.json")
    environ = {**os.environ, "MPLBACKEND": "Agg", "MPLCONFIGDIR": str(tmp_path / "matplotlib")}
    subprocess.run([sys.executable, str(SCRIPT)], cwd=tmp_path, env=environ, timeout=90, check=True)
    assert (tmp_path / "endpoint_performance.png").read_bytes().startswith(b"\x89PNG")
