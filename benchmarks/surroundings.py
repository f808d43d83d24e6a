"""What the measured processes talk to: a real sidecar for ours, a socket that throws away for those that send UDP."""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.processes import cpu_seconds

_START_SECONDS = 30.0


class Surroundings(NamedTuple):
    """Where the peers of one run are to be found."""

    environ: dict[str, str]
    """For the measured process."""
    sidecar: "SidecarProcess"
    sink: "UdpSink"


class SidecarProcess:
    """A sidecar with a key of its own, in a directory of its own or in that of one that was killed."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.key = secrets.token_urlsafe(32)
        log = directory / "sidecar.log"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")}
        environ |= {"CHRONOPROF_PORT": "0", "CHRONOPROF_ADMIN_KEYS": self.key, "CHRONOPROF_DATA_DIR": "data"}
        environ |= settings or {}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chronoprof_sidecar", "serve"],
                cwd=directory,
                env=environ,
                stdout=output,
                stderr=output,
            )
        self.url = self._wait_for_url(log)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        return int(self.url.rpartition(":")[2])

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the process so far, user and system."""
        return cpu_seconds(self.pid)

    def calls(self) -> int:
        """Calls that `GET data` shows."""
        request = urllib.request.Request(f"{self.url}/api/v1/profiling/data", headers={"X-API-Key": self.key})
        with urllib.request.urlopen(request, timeout=30) as answer:
            rows: dict[str, Any] = json.load(answer)["data"]
        return sum(row["calls"] for row in rows.values())

    def stop(self) -> None:
        """Ask it to end, and wait until it did."""
        self._process.terminate()
        self._process.wait(30)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self._process.wait(30)

    def _wait_for_url(self, log: Path) -> str:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if found := re.search(r"listening on (http://[\d.:]+)", log.read_text()):
                return found[1]
            time.sleep(0.01)
        raise RuntimeError(f"the sidecar did not start: {log.read_text()}")


class UdpSink:
    """Receives datagrams, counts the timings in them, and throws them away."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.5)
        self.port: int = self._socket.getsockname()[1]
        self.timings = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the socket."""
        self._stopping.set()
        self._thread.join()
        self._socket.close()

    def _drain(self) -> None:
        while not self._stopping.is_set():
            try:
                datagram = self._socket.recv(65_536)
            except TimeoutError:
                continue
            for line in datagram.split(b"\n"):
                if not line.startswith(b"datadog."):  # the client's own telemetry
                    self.timings += max(0, line.partition(b"|")[0].count(b":"))


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Start everything, and stop it at the end."""
    with TemporaryDirectory(prefix="chronoprof-bench-") as name:
        directory = Path(name)
        sidecar, sink = SidecarProcess(directory), UdpSink()
        environ = {
            **os.environ,
            "ENABLE_PROFILING": "true",
            "CHRONOPROF_URL": sidecar.url,
            "CHRONOPROF_API_KEY": sidecar.key,
            "BENCH_UDP_PORT": str(sink.port),
        }
        try:
            yield Surroundings(environ, sidecar, sink)
        finally:
            sink.stop()
            sidecar.stop()
