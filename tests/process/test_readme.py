"""The README's examples work when they are pasted."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.sidecar import ADMIN_KEY, INGEST_KEY, Sidecar

README = (Path(__file__).parents[2] / "README.md").read_text()
CURLS = re.findall(r"^```bash\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
CRON = re.findall(r"^```cron\n\S+ \S+ \S+ \S+ \S+ +(.*?)\n```", README, re.DOTALL | re.MULTILINE)
PYTHON = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_every_curl_line_works(sidecar: Sidecar, tmp_path: Path) -> None:
    """Pasted one after the other, from reading to resetting, every command gets an answer below 400."""
    environ = {**os.environ, "CHRONOPROF_API_KEY": ADMIN_KEY}
    assert len(CURLS) > 6
    for text in CURLS:
        command = text.replace("localhost:8000", f"localhost:{sidecar.port}").replace("curl -sS", "curl -sS --fail")
        done = subprocess.run(
            ["bash", "-ec", command], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_the_python_example_works(sidecar: Sidecar, tmp_path: Path) -> None:
    """The instrumented example counts what it says, under the names it says."""
    (tmp_path / "shop.py").write_text("\n".join(PYTHON))
    environ = {
        **os.environ,
        "ENABLE_PROFILING": "true",
        "CHRONOPROF_URL": sidecar.url,
        "CHRONOPROF_API_KEY": INGEST_KEY,
        "CHRONOPROF_SERVICE": "shop",
    }
    subprocess.run([sys.executable, "-c", "import shop"], cwd=tmp_path, env=environ, timeout=30, check=True)
    calls = {name: row["calls"] for name, row in sidecar.data().items()}
    assert calls == {"shop.checkout": 1, "checkout.load_prices": 1, "import.row": 1}


def test_the_cron_line_works_and_a_retry_is_refused(sidecar: Sidecar, tmp_path: Path) -> None:
    """The line saves the hour and begins a window; run again in that hour it fails, says so, and changes nothing."""
    (key_file := tmp_path / "admin_key").write_text(ADMIN_KEY)
    (line,) = CRON
    command = line.replace("\\%", "%").replace("/etc/chronoprof/admin_key", str(key_file))
    environ = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "CHRONOPROF_URL": sidecar.url}

    def rotate() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], env=environ, capture_output=True, text=True, timeout=30, check=False
        )

    sidecar.request("POST", "/api/v1/profiling/ingest", {"durations": {"a": [0.1]}})
    first, second = rotate(), rotate()
    if second.returncode == 0:  # the hour ended between the two
        second = rotate()
    assert (0, "", "") == (first.returncode, first.stdout, first.stderr)
    assert (1, 1) == (second.returncode, second.stderr.count("\n"))
    saved = min((sidecar.directory / "data" / "saves").glob("profiling_*.json"))
    assert "a" in json.loads(saved.read_bytes())["data"]
