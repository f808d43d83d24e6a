"""A real sidecar process for tests: started, asked, killed and started again like an operator would."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.ports import free_port

ADMIN_KEY = "chp_admin_" + "a" * 40
READ_KEY = "chp_read_" + "r" * 40
INGEST_KEY = "chp_ingest_" + "i" * 40
DEADLINE_SECONDS = 30.0


class Sidecar:
    """`chronoprof serve` on a free port, in a directory of its own."""

    def __init__(self, directory: Path, *, prefix: Sequence[str] = (), host: str = "127.0.0.1", **environ: str) -> None:
        """Prepare the directory; `prefix` is a command that runs the sidecar's, as `strace` or `ip netns exec` do."""
        self.directory = directory
        self.prefix = tuple(prefix)
        self.host = host
        self.log_path = directory / "sidecar.log"
        self._environ = environ
        self._process: subprocess.Popen[bytes] | None = None
        self._earlier_senders: set[str] = set()
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running process."""
        assert self._process is not None
        return self._process

    def start(self, *, wait: bool = True) -> "Sidecar":
        """Start it, on the port it had before if it ran before, and wait until it listens."""
        seen = self.log_path.stat().st_size if self.log_path.exists() else 0
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")},
            "CHRONOPROF_HOST": self.host,
            "CHRONOPROF_PORT": str(self.port),
            "CHRONOPROF_DATA_DIR": str(self.directory / "data"),
            "CHRONOPROF_ADMIN_KEYS": ADMIN_KEY,
            "CHRONOPROF_READ_KEYS": READ_KEY,
            "CHRONOPROF_INGEST_KEYS": INGEST_KEY,
            **self._environ,
        }
        with self.log_path.open("ab") as log:
            command = [*self.prefix, sys.executable, "-m", "chronoprof_sidecar", "serve"]
            self._process = subprocess.Popen(
                command, env=environ, cwd=self.directory, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        if wait:
            self.port = self._wait_for_port(seen)
        return self

    def kill(self) -> None:
        """Kill it without warning, as a power cut would."""
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE_SECONDS)

    def close(self) -> None:
        """Make sure that nothing is left running."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze it: the system goes on accepting connections and bytes for it, but nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def begin_anew(self) -> "Sidecar":
        """Begin an empty window, and show no sender that there was before: as a fresh one would, without its start."""
        status, _ = self.request("POST", "/api/v1/profiling/reset?history=true")
        assert status == 204
        self._earlier_senders |= {sender["id"] for sender in self.senders()}
        return self

    def log(self) -> str:
        """Return all that it logged."""
        return self.log_path.read_text()

    def wait_for_log(self, text: str) -> None:
        """Return once it has logged `text`."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self.log():
            assert self.process.poll() is None or text in self.log(), f"ended without logging: {text}\n{self.log()}"
            assert time.monotonic() < deadline, f"never logged: {text}\n{self.log()}"
            threading.Event().wait(0.02)

    def request(
        self, method: str, path: str, body: object = None, *, key: str | None = ADMIN_KEY, **headers: str
    ) -> tuple[int, Any]:
        """Return status and decoded JSON (None when empty) of a request."""
        data = None if body is None else json.dumps(body).encode()
        head = {"Content-Type": "application/json", **headers} if data is not None else headers
        if key is not None:
            head = {"X-API-Key": key, **head}
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method, headers=head)
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
                return answer.status, _decode(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decode(error.read())

    def data(self, query: str = "") -> dict[str, Any]:
        """Return the rows of `GET data`."""
        status, answer = self.request("GET", f"/api/v1/profiling/data{query}")
        assert status == 200, answer
        rows: dict[str, Any] = answer["data"]
        return rows

    def calls(self) -> dict[str, int]:
        """Return calls per function name."""
        return {name: row["calls"] for name, row in self.data().items()}

    def senders(self) -> list[dict[str, Any]]:
        """Return what `GET senders` knows of each sender since `begin_anew`, if that was called."""
        status, answer = self.request("GET", "/api/v1/profiling/senders")
        assert status == 200, answer
        return [sender for sender in answer["senders"] if sender["id"] not in self._earlier_senders]

    def app_environ(self, **environ: str) -> dict[str, str]:
        """Return the environment of an app that ships to this sidecar."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")}
        return {
            **inherited,
            "ENABLE_PROFILING": "true",
            "CHRONOPROF_URL": self.url,
            "CHRONOPROF_API_KEY": INGEST_KEY,
            "CHRONOPROF_SERVICE": "shop",
            "CHRONOPROF_FLUSH_INTERVAL": "0.2",
            **environ,
        }

    def _wait_for_port(self, seen: int) -> int:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            text = self.log_path.read_bytes()[seen:].decode()
            found = re.search(rf"listening on http://{re.escape(self.host)}:(\d+)", text)
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                raise AssertionError(f"the sidecar ended with {self.process.returncode}: {text}")
            threading.Event().wait(0.02)
        raise AssertionError(f"the sidecar did not start in time: {self.log()}")


def wait_until(condition: Any, what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Return once `condition()` is true; fail with `what` after a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        threading.Event().wait(0.05)


def _decode(content: bytes) -> Any:
    return json.loads(content) if content else None
