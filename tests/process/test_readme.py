"""The README's examples work when they are pasted."""

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
