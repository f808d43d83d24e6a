"""Real app servers for tests, and a load generator that knows how many requests it made."""

import http.client
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.ports import free_port
from tests.process.sidecar import Sidecar, wait_until

ROOT = Path(__file__).parents[2]


class AppServer:
    """A server with an instrumented app, on a free port, that ships to a sidecar; `command` is given the port."""

    def __init__(self, sidecar: Sidecar, directory: Path, command: Callable[[int], list[str]], **environ: str) -> None:
        self.port = free_port()
        self._log = directory / "app.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command(self.port), cwd=ROOT, env=sidecar.app_environ(**environ), stdout=log, stderr=log
            )
        try:
            wait_until(self._answers, "the app server's first answer")
        except BaseException:
            self._process.kill()
            raise

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
                answer.length = None  # to be read until the server hangs up: only then has it done with the request
                answer.read()
                return answer.status
            finally:
                connection.close()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end, and wait until it and its workers did."""
        self._process.send_signal(number)
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

    def __init__(self, app: AppServer, threads: int) -> None:
        self._app = app
        self._stop = threading.Event()
        self._answered = [0] * threads
        self.statuses: set[int] = set()
        self.durations_seconds: list[float] = []
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
            began = time.monotonic()
            self.statuses.add(self._app.get(f"/items/{index}"))
            self.durations_seconds.append(time.monotonic() - began)
            self._answered[index] += 1
