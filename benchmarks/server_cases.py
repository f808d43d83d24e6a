"""What is measured of the servers: how each case is put under load, and what comes out of one turn of it.

Every server has one core to itself, and the load the other one. Rates are told twice: by the clock, which is what a
user sees and what a busy machine distorts, and per second of the server's CPU time, which is what one core can do.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.processes import Cores, cpu_seconds, on_core, resident_bytes
from benchmarks.server_bodies import (
    encode_datagrams,
    encode_functions,
    encode_wide_functions,
    feed_batches,
    feed_reads,
)
from benchmarks.server_load import Feed, Load, run_load, send_datagrams
from benchmarks.server_peers import BENCH, StatsdPeer
from benchmarks.surroundings import SidecarProcess

CONNECTIONS: Final = 100
ACKNOWLEDGED_PER_SECOND: Final = 1000
_FEW_CONNECTIONS: Final = 32
"""Where latency matters: enough to keep one core busy, few enough not to measure their own queue."""
_FUNCTIONS_A_BODY: Final = 20
_BLOCK: Final = b"x" * 4096


class Turn(NamedTuple):
    """What one server did in one turn."""

    units: float
    """Samples or requests that were counted."""
    seconds: float
    server_cpu_seconds: float
    load_cpu_seconds: float
    lost: float | None = None
    """Share of what was sent that was not counted."""

    @property
    def per_second(self) -> float:
        """Units by the clock."""
        return self.units / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Units of one core. CPU time comes in ticks of 10 ms: a turn too short for one counts as one."""
        return self.units / max(self.server_cpu_seconds, 0.01)


class Floor(NamedTuple):
    """The running service that only reads."""

    pid: int
    port: int


class Scale(NamedTuple):
    """How much of it: all, or a glance."""

    seconds: float
    functions: int
    buckets: int
    sustained_seconds: float


def load_server(port: int, pid: int, feeds: Sequence[Feed], seconds: float, units: int = 1) -> Turn:
    """Let all connections send as fast as they are answered; each request counts as so many units."""
    before = cpu_seconds(pid)
    load = run_load(port, feeds, seconds)
    return Turn(load.requests * units, load.seconds, cpu_seconds(pid) - before, load.cpu_seconds)


def load_sidecar(sidecar: SidecarProcess, body: bytes, samples: int, seconds: float, units: int = 1) -> Turn:
    """Let senders ship one body over and over, and compare the samples acknowledged with those that are shown."""
    shown = sidecar.calls()
    feeds = [feed_batches([body], sidecar.key) for _ in range(CONNECTIONS)]
    turn = load_server(sidecar.port, sidecar.pid, feeds, seconds, units)
    acknowledged = turn.units / units * samples
    return turn._replace(lost=1 - (sidecar.calls() - shown) / acknowledged)


def load_statsd(peer: StatsdPeer, timings: int, seconds: float) -> Turn:
    """Send datagrams as fast as they go, and count those timings that the peer reports."""
    shown = peer.sink.timings
    before, own = cpu_seconds(peer.pid), time.thread_time()
    sent = timings * send_datagrams(peer.port, encode_datagrams(timings), seconds)
    own = time.thread_time() - own
    counted = peer.sink.settle() - shown
    return Turn(counted, seconds, cpu_seconds(peer.pid) - before, own, lost=1 - counted / sent)


def time_acknowledgements(sidecar: SidecarProcess, seconds: float) -> dict[str, float]:
    """Return milliseconds until a batch is acknowledged, at a thousand batches a second, and those of raw syncs."""
    body = encode_functions(range(10), 10)
    feeds = [feed_batches([body], sidecar.key) for _ in range(_FEW_CONNECTIONS)]
    latencies = _latencies_ms(run_load(sidecar.port, feeds, seconds, ACKNOWLEDGED_PER_SECOND))
    return {
        "acknowledged": statistics.median(latencies),
        "acknowledged p99": _percentile(latencies, 0.99),
        "fdatasync": statistics.median(_time_syncs_ms(seconds)),
    }


def measure_many_functions(cores: Cores, scale: Scale) -> dict[str, float]:
    """Return memory, reads and restart of a sidecar with many functions that have many buckets each.

    Memory in MB: once filled, and after the same bodies came over and over. Times in milliseconds: of reads while
    ingesting at full rate, and the slowest ingest request with and without them. The restart as `measure_restart`.
    """
    numbers = range(scale.functions)
    starts = range(0, scale.functions, _FUNCTIONS_A_BODY)
    wide = [encode_wide_functions(numbers[start : start + _FUNCTIONS_A_BODY], scale.buckets) for start in starts]
    usual = [encode_functions(numbers[start : start + 10], 100) for start in starts]
    with new_directory() as directory:
        with running_sidecar(directory, cores) as sidecar:
            run_load(sidecar.port, [feed_batches(wide[n::4], sidecar.key, once=True) for n in range(4)], 60)
            figures = {"filled": resident_bytes(sidecar.pid) / 1e6}
            run_load(sidecar.port, [feed_batches(wide[n::4], sidecar.key) for n in range(4)], scale.sustained_seconds)
            figures["sustained"] = resident_bytes(sidecar.pid) / 1e6
            figures |= _measure_reads(sidecar, usual, scale.seconds)
            _kill_under_load(sidecar, usual, 2 * scale.seconds)
        return figures | _time_start(directory, cores, "restart wide")


def measure_restart(cores: Cores, scale: Scale) -> dict[str, float]:
    """Return the seconds, and CPU seconds, until a sidecar is ready after `kill -9` in the middle of full load."""
    with new_directory() as directory:
        with running_sidecar(directory, cores) as sidecar:
            _kill_under_load(sidecar, [encode_functions(range(10), 100)], 2 * scale.seconds)
        return _time_start(directory, cores, "restart")


@contextmanager
def running_sidecar(directory: Path, cores: Cores) -> Iterator[SidecarProcess]:
    """Start a sidecar on the server's core, and stop it at the end if it still runs."""
    with on_core(cores.server):
        sidecar = SidecarProcess(directory)
    try:
        yield sidecar
    finally:
        sidecar.stop()


@contextmanager
def running_floor(cores: Cores) -> Iterator[Floor]:
    """Start the service that only reads, and stop it at the end."""
    command = [sys.executable, "-m", "benchmarks.server_floor"]
    with on_core(cores.server):
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
    with process:
        try:
            yield Floor(process.pid, int(process.stdout.readline() if process.stdout else b""))
        finally:
            process.terminate()


def _measure_reads(sidecar: SidecarProcess, bodies: Sequence[bytes], seconds: float) -> dict[str, float]:
    senders = [feed_batches([*bodies[n:], *bodies[:n]], sidecar.key) for n in range(_FEW_CONNECTIONS)]
    undisturbed = _latencies_ms(run_load(sidecar.port, senders, seconds))
    both = run_load(sidecar.port, [*senders, feed_reads(sidecar.key)], seconds)
    *ingests, reads = both.latencies_seconds
    disturbed = _latencies_ms(both._replace(latencies_seconds=ingests))
    return {
        "read": statistics.median(reads) * 1000,
        "read slowest": max(reads) * 1000,
        "slowest undisturbed": max(undisturbed),
        "slowest disturbed": max(disturbed),
        "slower": max(disturbed) - max(undisturbed),
        "p99 undisturbed": _percentile(undisturbed, 0.99),
        "p99 disturbed": _percentile(disturbed, 0.99),
    }


def _kill_under_load(sidecar: SidecarProcess, bodies: Sequence[bytes], seconds: float) -> None:
    feeds = [feed_batches(bodies[n % len(bodies) :], sidecar.key) for n in range(_FEW_CONNECTIONS)]
    loading = threading.Thread(target=_load_until_killed, args=(sidecar.port, feeds, seconds + 30))
    loading.start()
    loading.join(seconds)
    if not loading.is_alive():
        raise RuntimeError("the load ended before the sidecar was killed")
    sidecar.kill()
    loading.join()


def _time_start(directory: Path, cores: Cores, name: str) -> dict[str, float]:
    started = time.perf_counter()
    with running_sidecar(directory, cores) as sidecar:
        urllib.request.urlopen(f"{sidecar.url}/health/ready", timeout=30).close()
        return {name: time.perf_counter() - started, f"{name} CPU": sidecar.cpu_seconds}


def _load_until_killed(port: int, feeds: Sequence[Feed], seconds: float) -> None:
    try:
        run_load(port, feeds, seconds)
    except (OSError, RuntimeError):
        return  # as it should be: the server was killed


def _time_syncs_ms(seconds: float) -> list[float]:
    with new_directory() as directory:
        descriptor = os.open(directory / "raw", os.O_WRONLY | os.O_CREAT)
        times = []
        deadline = time.perf_counter() + seconds
        while (started := time.perf_counter()) < deadline:
            os.write(descriptor, _BLOCK)
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - started) * 1000)
        os.close(descriptor)
    return times


@contextmanager
def new_directory() -> Iterator[Path]:
    """Make a directory on the disk of the checkout: what /tmp is on may be no disk at all."""
    BENCH.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=BENCH, prefix="run-") as name:
        yield Path(name)


def _latencies_ms(load: Load) -> list[float]:
    return [latency * 1000 for latencies in load.latencies_seconds for latency in latencies]


def _percentile(values: Sequence[float], quantile: float) -> float:
    return sorted(values)[int(quantile * (len(values) - 1))]
