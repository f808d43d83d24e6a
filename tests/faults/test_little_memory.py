"""More function names than any table has room for, and little memory: what is known stays exact, all is counted."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chronoprof_sidecar.protocol import DATA_PATH, SAVE_PATH
from tests.faults.senders import Senders
from tests.process.sidecar import Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

LIMIT_MIB = 256
MAX_FUNCTIONS = scaled(1000, full=10_000)
NAMES = scaled(20_000, full=1_000_000)
NAMES_PER_BATCH = scaled(500, full=2000)
SENDERS = 4
KNOWN_ROWS = 20
TEMPLATE = "GET /users/{…}/orders"


@pytest.fixture
def poor_sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that may use little address space, which is never less than the memory that it uses."""
    prefix = ("sh", "-c", f'ulimit -v {LIMIT_MIB * 1024} && exec "$@"', "sh")
    running = Sidecar(tmp_path / "sidecar", prefix=prefix, CHRONOPROF_MAX_FUNCTIONS=str(MAX_FUNCTIONS)).start()
    yield running
    running.close()


def known_row(number: int) -> str:
    """Return the name of a row that is there before the others come."""
    return f"GET /known-{'abcdefghijklmnopqrstuvwxyz'[number]}"


def ever_new_names(sender: str, seq: int) -> dict[str, list[int]]:
    """Return a call of every known row, and then one each of names that never were there before."""
    number = int(sender.removeprefix("sender-"))
    first = ((seq - 1) * SENDERS + number) * NAMES_PER_BATCH
    known = {known_row(row): [seq * 1000 + row] for row in range(KNOWN_ROWS)}
    return known | {f"GET /users/{user}/orders": [1000 + user] for user in range(first, first + NAMES_PER_BATCH)}


def peak_rss_mib(sidecar: Sidecar) -> int:
    """Return the most memory that it ever held."""
    status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


@pytest.mark.timeout(scaled(120, full=900))
def test_a_million_names_in_little_memory(poor_sidecar: Sidecar, proof: Proof) -> None:
    """With 256 MiB and a million names, known rows are exact, the others are counted as `_other`, and it is said."""
    sidecar = poor_sidecar
    senders = Senders(lambda: sidecar.port, SENDERS, ever_new_names)
    wait_until(lambda: senders.batches * NAMES_PER_BATCH >= NAMES, "that many names", scaled(60, full=800))
    senders.stop()
    assert 200 == sidecar.request("POST", f"{SAVE_PATH}?file_path=all.json")[0]
    first = look(sidecar, senders)
    peak_mib = peak_rss_mib(sidecar)
    sidecar.kill()
    began = time.monotonic()
    sidecar.start()
    ready_seconds = time.monotonic() - began
    assert first == look(sidecar, senders)
    proof.reached("limit", f"{LIMIT_MIB} MiB of address space (RLIMIT_AS)")
    proof.reached("names", senders.batches * NAMES_PER_BATCH, goal=NAMES)
    proof.reached("known rows", f"{KNOWN_ROWS}, exact to the ns")
    proof.reached("_other", f"{first} calls, the true number")
    proof.reached("RSS at most", f"{peak_mib} MiB, {peak_rss_mib(sidecar)} MiB after kill -9 and {ready_seconds:.1f} s")
    assert sidecar.stop() == 0
    assert f"these look like one template each: '{TEMPLATE}'" in sidecar.log()


def look(sidecar: Sidecar, senders: Senders) -> int:
    """Hold what the sidecar says against what was acknowledged, and return the calls in `_other`."""
    status, answer = sidecar.request("GET", DATA_PATH)
    assert 200 == status
    rows, meta = answer["data"], answer["meta"]
    calls, total_ns = senders.calls(), senders.total_ns()
    other = rows.pop("_other")
    for name, row in rows.items():
        assert (calls[name], total_ns[name]) == (row["calls"], round(row["total_time"] * 1e9)), name
    assert {known_row(number) for number in range(KNOWN_ROWS)} <= rows.keys()
    assert MAX_FUNCTIONS == len(rows)
    unplaced = calls.keys() - rows.keys()
    assert sum(calls[name] for name in unplaced) == other["calls"] == meta["overflowed"]
    assert sum(total_ns[name] for name in unplaced) == round(other["total_time"] * 1e9)
    assert not meta["complete"]
    overflowed: int = meta["overflowed"]
    return overflowed
