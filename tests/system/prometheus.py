"""Debian's Prometheus as `make test-system` unpacks it, with the scrape configuration of this repository."""

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.process.sidecar import READ_KEY, Sidecar, wait_until
from tests.system.image import ROOT

BINARIES = ROOT / ".debian" / "usr" / "bin"
CONFIG = ROOT / "config" / "prometheus"


def promtool(*arguments: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool, with `text` on its standard input."""
    command = [BINARIES / "promtool", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


class Prometheus:
    """A Prometheus that scrapes one sidecar every second."""

    def __init__(self, directory: Path, port: int, sidecar: Sidecar, options: Sequence[str]) -> None:
        """Prepare configuration and key in `directory`; `options` are further flags."""
        self._url = f"http://127.0.0.1:{port}"
        key = directory / "read_key"
        key.write_text(READ_KEY)
        shutil.copy(CONFIG / "rules.yml", directory)
        config = (CONFIG / "prometheus.yml").read_text()
        for ours, here in (
            ("/run/secrets/read_key", str(key)),
            ("127.0.0.1:8000", f"127.0.0.1:{sidecar.port}"),
            ("scrape_interval: 15s", "scrape_interval: 1s"),
        ):
            assert ours in config
            config = config.replace(ours, here)
        (directory / "prometheus.yml").write_text(config)
        self._command = [
            str(BINARIES / "prometheus"),
            f"--config.file={directory}/prometheus.yml",
            f"--storage.tsdb.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            *options,
        ]
        self._log_path = directory / "prometheus.log"

    @contextmanager
    def running(self) -> "Iterator[Prometheus]":
        """Run it inside the block."""
        with self._log_path.open("wb") as log, subprocess.Popen(self._command, stdout=log, stderr=log) as process:
            try:
                wait_until(self._is_ready, "Prometheus is ready")
                yield self
            finally:
                process.kill()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an instant query finds."""
        url = f"{self._url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
            return result

    def value(self, expression: str) -> float | None:
        """Return the one value that an instant query finds; None when it finds nothing."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def scrape_errors(self) -> list[str]:
        """Return why the last scrape of a target failed, empty where it did not."""
        with urllib.request.urlopen(f"{self._url}/api/v1/targets", timeout=30) as answer:
            return [target["lastError"] for target in json.load(answer)["data"]["activeTargets"]]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
