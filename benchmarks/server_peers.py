"""The peers as child processes on loopback: npm's statsd, Debian's collectd and Pushgateway.

`make bench-server` puts them into `.bench/`, where nothing starts by itself and nothing else of the machine changes.
Both statsd servers send what they counted to a Graphite server, here a socket that adds the counts up.
"""

import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.processes import on_core

BENCH: Final = Path(__file__).parents[1] / ".bench"
_DEBIAN: Final = BENCH / "debian"
_STATSD: Final = BENCH / "statsd/node_modules/statsd"
_COLLECTD: Final = _DEBIAN / "usr/sbin/collectd"
_PUSHGATEWAY: Final = _DEBIAN / "usr/bin/prometheus-pushgateway"

FLUSH_SECONDS: Final = 1.0
_START_SECONDS: Final = 30.0
_SETTLE_SECONDS: Final = 3 * FLUSH_SECONDS
"""Without a new count for so long, nothing more will come."""
_COUNT: Final = re.compile(rb"work\d[.-]count ([\d.]+)")
"""In a Graphite line: `stats.timers.work1.count 5 1700000000`, `host.statsd.gauge-work1-count 5.000000 1700000000`."""

_COLLECTD_CONFIG: Final = """\
BaseDir "{directory}"
PIDFile "{directory}/collectd.pid"
PluginDir "{debian}/usr/lib/collectd"
TypesDB "{debian}/usr/share/collectd/types.db"
Interval {interval}
LoadPlugin statsd
LoadPlugin write_graphite
<Plugin statsd>
  Host "127.0.0.1"
  Port "{port}"
  TimerPercentile 50.0
  TimerPercentile 90.0
  TimerPercentile 95.0
  TimerPercentile 99.0
  TimerCount true
  TimerSum true
  TimerLower true
  TimerUpper true
</Plugin>
<Plugin write_graphite>
  <Node "sink">
    Host "127.0.0.1"
    Port "{sink}"
    Protocol "tcp"
    SeparateInstances false
  </Node>
</Plugin>
"""


class Peer(NamedTuple):
    """A running peer."""

    pid: int
    port: int


class StatsdPeer(NamedTuple):
    """A running statsd server, and what hears what it counted."""

    pid: int
    port: int
    sink: "GraphiteSink"


class GraphiteSink:
    """A Graphite server that adds up how many timings its clients say they counted."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.2)
        self.port: int = self._listening.getsockname()[1]
        self.timings = 0
        self.changed = time.monotonic()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def settle(self) -> int:
        """Wait until no more counts arrive, and return their sum."""
        self.changed = time.monotonic()
        while time.monotonic() < self.changed + _SETTLE_SECONDS:
            time.sleep(0.1)
        return self.timings

    def stop(self) -> None:
        """End all threads and close all sockets."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._read, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _read(self, connection: socket.socket) -> None:
        rest = b""
        connection.settimeout(0.2)
        with connection:
            while not self._stopping.is_set():
                try:
                    chunk = connection.recv(65_536)
                except TimeoutError:
                    continue
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                self._note(lines)

    def _note(self, lines: Sequence[bytes]) -> None:
        counted = sum(round(float(found[1])) for line in lines if (found := _COUNT.search(line)))
        if counted:
            self.timings += counted
            self.changed = time.monotonic()


def installed_peers() -> dict[str, str]:
    """Return the version of each peer that is there, by name."""
    versions = {}
    if shutil.which("node") and _STATSD.exists():
        node = subprocess.check_output(["node", "--version"], text=True).strip()
        versions["statsd"] = f"{json.loads((_STATSD / 'package.json').read_text())['version']} on Node.js {node}"
    for name, program, option in (("collectd", _COLLECTD, "-h"), ("pushgateway", _PUSHGATEWAY, "--version")):
        if program.exists():
            said = subprocess.run([program, option], capture_output=True, text=True, check=False)
            found = re.search(rf"{name},? (?:version )?(\d+[\d.]*\d)", said.stdout + said.stderr)
            versions[name] = found[1] if found else "of an unknown version"
    return versions


@contextmanager
def statsd(directory: Path, core: int) -> Iterator[StatsdPeer]:
    """Run npm's statsd."""
    sink, port = GraphiteSink(), _free_port(socket.SOCK_DGRAM)
    config = {
        "address": "127.0.0.1",
        "port": port,
        "mgmt_address": "127.0.0.1",
        "mgmt_port": _free_port(socket.SOCK_STREAM),
        "graphiteHost": "127.0.0.1",
        "graphitePort": sink.port,
        "graphite": {"legacyNamespace": False},
        "backends": ["./backends/graphite"],
        "flushInterval": FLUSH_SECONDS * 1000,
        "deleteIdleStats": True,
        "percentThreshold": [50, 90, 95, 99],
    }
    path = directory / "statsd.json"
    path.write_text(json.dumps(config))
    try:
        with _running(["node", str(_STATSD / "stats.js"), str(path)], directory, core) as pid:
            _wait_for_first_count(sink, port)
            yield StatsdPeer(pid, port, sink)
    finally:
        sink.stop()


@contextmanager
def collectd(directory: Path, core: int) -> Iterator[StatsdPeer]:
    """Run collectd with its statsd plugin."""
    sink, port = GraphiteSink(), _free_port(socket.SOCK_DGRAM)
    path = directory / "collectd.conf"
    values = {"directory": directory, "debian": _DEBIAN, "interval": FLUSH_SECONDS, "port": port, "sink": sink.port}
    path.write_text(_COLLECTD_CONFIG.format_map(values))
    try:
        with _running([str(_COLLECTD), "-f", "-C", str(path)], directory, core) as pid:
            _wait_for_first_count(sink, port)
            yield StatsdPeer(pid, port, sink)
    finally:
        sink.stop()


@contextmanager
def pushgateway(directory: Path, core: int) -> Iterator[Peer]:
    """Run the Pushgateway, in memory alone, in its favour."""
    port = _free_port(socket.SOCK_STREAM)
    options = [f"--web.listen-address=127.0.0.1:{port}", "--persistence.file=", "--log.level=warn"]
    options.append(f"--web.local-assets={_DEBIAN / 'usr/share/prometheus/pushgateway'}")
    with _running([str(_PUSHGATEWAY), *options], directory, core) as pid:
        _wait_for_connection(port)
        yield Peer(pid, port)


@contextmanager
def _running(command: Sequence[str], directory: Path, core: int) -> Iterator[int]:
    with on_core(core), (directory / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_connection(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("a peer did not start")


def _wait_for_first_count(sink: GraphiteSink, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        while not sink.timings:
            if time.monotonic() > deadline:
                raise RuntimeError("a peer did not start")
            probe.sendto(b"work0:1|ms", ("127.0.0.1", port))
            time.sleep(0.05)
    sink.settle()
