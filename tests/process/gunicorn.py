"""A real gunicorn for tests, and a load generator that knows how many requests it made."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.process.sidecar import INGEST_KEY, Sidecar, wait_until

ROOT = Path(__file__).parents[2]


class Gunicorn:
    """`gunicorn tests.process.flask_app:app` on a free port, instrumented for a sidecar."""

    def __init__(self, sidecar: Sidecar, directory: Path, *arguments: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._log = directory / "gunicorn.log"
        environ = {
            **os.environ,
            "ENABLE_PROFILING": "true",
            "CHRONOPROF_URL": sidecar.url,
            "CHRONOPROF_API_KEY": INGEST_KEY,
            "CHRONOPROF_SERVICE": "shop",
            "CHRONOPROF_FLUSH_INTERVAL": "0.2",
        }
        command = [sys.executable, "-m", "gunicorn", f"--bind=127.0.0.1:{self.port}", "--no-control-socket"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *arguments, "tests.process.flask_app:app"], cwd=ROOT, env=environ, stdout=log, stderr=log
            )
        wait_until(self._answers, "gunicorn's first answer")

    def get(self, path: str) -> int:
        """Return the status of a request on a connection of its own, tried again while nobody accepts it."""
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.connect()
            except OSError:
                threading.Event().wait(0.02)
                continue
            try:
                connection.request("GET", path, headers={"Connection": "close"})
                answer = connection.getresponse()
                answer.read()
                return answer.status
            finally:
                connection.close()

    def stop(self) -> None:
        """Ask it to end, and wait until it and its workers did."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)

    def close(self) -> None:
        """Make sure that nothing is left running."""
        if self._process.poll() is None:
            self.stop()

    def log(self) -> str:
        """Return all that it logged."""
        return self._log.read_text()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False


class Load:
    """Threads that make requests until told to stop, each counted when it was answered."""

    def __init__(self, app: Gunicorn, threads: int) -> None:
        self._app = app
        self._stop = threading.Event()
        self._answered = [0] * threads
        self.statuses: set[int] = set()
        self._threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def answered(self) -> int:
        """Requests answered so far."""
        return sum(self._answered)

    def stop(self) -> int:
        """Stop, and return how many requests were answered."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        return self.answered

    def _run(self, index: int) -> None:
        while not self._stop.is_set():
            self.statuses.add(self._app.get(f"/items/{index}"))
            self._answered[index] += 1
