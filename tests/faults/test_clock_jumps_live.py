"""A running sidecar whose wall clock jumps under load."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chronoprof_sidecar.protocol import DATA_PATH, INGEST_PATH, SAVE_PATH
from tests.faults.jumping_clock import JumpingClock
from tests.faults.senders import Senders
from tests.faults.stored import read_history, read_save
from tests.faults.test_clock_jumps import JUMPS
from tests.process.sidecar import INGEST_KEY, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

pytestmark = pytest.mark.system

ROUNDS = scaled(1, full=2)
SENDERS = 3
BATCHES = scaled(3, full=40)
BAD_KEYS_ALLOWED = 10
IDLE_SECONDS = 1.0
ONCE = {"client": {"id": "once", "seq": 1}, "samples": [{"function_name": "once", "duration": 1}]}


@pytest.fixture
def clock(tmp_path: Path) -> JumpingClock:
    """The sidecar's clock."""
    return JumpingClock(tmp_path / "clock")


@pytest.fixture
def sidecar(tmp_path: Path, clock: JumpingClock) -> Iterator[Sidecar]:
    """A sidecar that writes checkpoints often, by a clock that may be wrong."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_CHECKPOINT_INTERVAL="0.5", **clock.environ).start()
    yield running
    running.close()


@pytest.mark.timeout(scaled(120, full=600))
def test_a_running_sidecar_whose_clock_jumps(sidecar: Sidecar, clock: JumpingClock, proof: Proof) -> None:
    """Under load, a sidecar whose clock jumps by a day and by ten years, both ways, counts each call once, shows no
    negative figure, keeps counting bad keys, and rests when there is nothing to do."""
    senders = Senders(lambda: sidecar.port, SENDERS)
    assert not sent_before(sidecar)
    offsets = [offset for jump in JUMPS.values() for offset in (jump, 0)] * ROUNDS
    for number, offset in enumerate(offsets):
        senders.wait_for(BATCHES)
        clock.set(offset)
        wait_until(lambda: shows(sidecar, offset), "the jump")  # noqa: B023  called before the next
        senders.wait_for(BATCHES)
        assert sent_before(sidecar)
        check_times(sidecar)
        check_save(sidecar, f"{number}.json")
        if number % 4 == 1:
            assert sidecar.stop() == 0
            sidecar.start()
            check_times(sidecar)
    senders.stop()
    assert [401] * BAD_KEYS_ALLOWED + [429] == [try_a_bad_key(sidecar) for _ in range(BAD_KEYS_ALLOWED + 1)]
    clock.set(JUMPS["ten years ahead"])
    assert try_a_bad_key(sidecar) == 429
    assert sent_before(sidecar)
    busy = busy_share(sidecar)
    assert sidecar.stop() == 0

    calls = read_history(sidecar.directory / "data").calls
    assert calls.pop("once") == 1
    acknowledged = senders.calls()
    proof.reached("jumps", len(offsets))
    proof.reached("acknowledged", f"{acknowledged.total()} calls")
    proof.reached("lost", (acknowledged - calls).total(), goal=0)
    proof.reached("doubled", (calls - acknowledged).total(), goal=0)
    proof.reached("processor when idle", f"{busy:.0%}")
    assert acknowledged == calls
    assert busy < 0.5


def sent_before(sidecar: Sidecar) -> bool:
    """Send one and the same batch; say whether it was counted before."""
    status, answer = sidecar.request("POST", INGEST_PATH, ONCE, key=INGEST_KEY)
    assert (200, 1) == (status, answer["accepted"])
    return bool(answer["duplicate"])


def shows(sidecar: Sidecar, offset_seconds: int) -> bool:
    """Say whether the sidecar's clock is wrong by so much, to the hour."""
    _, answer = sidecar.request("GET", f"{DATA_PATH}?limit=1")
    shown = datetime.fromisoformat(answer["meta"]["generated_at"]) - datetime.now(UTC)
    return abs(shown - timedelta(seconds=offset_seconds)) < timedelta(hours=1)


def check_times(sidecar: Sidecar) -> None:
    """Hold the times of all answers against each other; written in one form, they compare as texts."""
    _, answer = sidecar.request("GET", DATA_PATH)
    meta = answer["meta"]
    assert meta["window_start"] <= meta["generated_at"]
    for row in answer["data"].values():
        assert meta["window_start"] <= row["first_seen"] <= row["last_seen"]
    senders = sidecar.senders()
    assert len(senders) == SENDERS + 1
    for sender in senders:
        assert sender["first_batch"] <= sender["last_batch"]
        assert sender["silent_seconds"] >= 0


def check_save(sidecar: Sidecar, name: str) -> None:
    """Save the window, and read the file."""
    assert sidecar.request("POST", f"{SAVE_PATH}?file_path={name}")[0] == 200
    saved = read_save(sidecar.directory / "data" / "saves" / name)
    assert saved.window_start_ns <= saved.taken_ns


def try_a_bad_key(sidecar: Sidecar) -> int:
    """Return the status that a key that nobody issued gets."""
    return sidecar.request("GET", DATA_PATH, key="chp_read_" + "x" * 40)[0]


def busy_share(sidecar: Sidecar) -> float:
    """Return how much of a processor's time the sidecar takes while nobody asks for anything."""
    begun, before = time.monotonic(), processor_seconds(sidecar.process.pid)
    wait_until(lambda: time.monotonic() >= begun + IDLE_SECONDS, "some idle time")
    return (processor_seconds(sidecar.process.pid) - before) / (time.monotonic() - begun)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process and its threads took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
