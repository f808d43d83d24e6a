"""A client that sends what it should, when it should, and takes the time of every answer."""

import http.client
import json
import multiprocessing
import statistics
import time
from multiprocessing.context import SpawnProcess
from typing import Self

from tests.process.sidecar import DEADLINE_SECONDS, INGEST_KEY, Sidecar

NAME = "honest"
PAUSE_SECONDS = 0.01
_BATCH = json.dumps({"durations": {NAME: [0.1]}}).encode()
_HEADERS = {"X-API-Key": INGEST_KEY, "Content-Type": "application/json"}


class HonestClient(SpawnProcess):
    """Ships one call after the other on one connection, in a process that shares no lock with attackers."""

    def __init__(self, sidecar: Sidecar) -> None:
        """Start, and return after the first answer."""
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self._port = sidecar.port
        self._ours, self._theirs = multiprocessing.Pipe()
        self.start()
        assert self._ours.poll(DEADLINE_SECONDS)
        self._ours.recv()

    def run(self) -> None:
        """Ship until told to stop; a lost connection or an answer other than 200 ends the process."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        connection.connect()
        connected = connection.sock
        seconds: list[float] = []
        while not self._theirs.poll(PAUSE_SECONDS):
            started = time.perf_counter()
            connection.request("POST", "/api/v1/profiling/ingest", _BATCH, _HEADERS)
            answer = connection.getresponse()
            assert (answer.status, json.loads(answer.read())["accepted"]) == (200, 1)
            assert connection.sock is connected
            seconds.append(time.perf_counter() - started)
            if len(seconds) == 1:
                self._theirs.send(None)
        self._theirs.send(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let it stop, and learn the seconds that each of its answers took."""
        self._ours.send(None)
        self.seconds = self._ours.recv() if self._ours.poll(DEADLINE_SECONDS) else []
        self.join(DEADLINE_SECONDS)
        assert self.exitcode == 0


def p99(seconds: list[float]) -> str:
    """Return the 99th percentile, for people."""
    return f"{statistics.quantiles(seconds, n=100)[98] * 1000:.0f} ms"
