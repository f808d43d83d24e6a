"""Windows that end again and again while several senders ship at full speed: no call falls between two of them."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from chronoprof_sidecar.protocol import RESET_PATH, ROTATE_PATH, SAVE_PATH
from tests.faults.senders import Senders
from tests.faults.stored import Counted, read_history, read_save
from tests.faults.windows import batches_in, unaccounted_batches
from tests.process.sidecar import Sidecar
from tests.proof import Proof
from tests.scale import scaled

if TYPE_CHECKING:
    from chronoprof_sidecar.domain.snapshot import Snapshot

CHANGES = scaled(30, full=500)
SENDERS = 4


@pytest.fixture
def frequent_checkpoints(tmp_path: Path) -> Iterator[Sidecar]:
    """A sidecar that writes checkpoints all the time, each cut short by windows that end."""
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_CHECKPOINT_INTERVAL="0.05").start()
    yield running
    running.close()


class Operator:
    """Ends windows, and keeps what they were saved as."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self._saves = sidecar.directory / "data" / "saves"
        self.generation = 1
        self.rotated: dict[int, Snapshot] = {}
        """Whole windows, by generation; what is missing was reset."""
        self.saved: dict[int, list[Snapshot]] = {}
        """Windows as they stood in between."""

    def reset(self) -> None:
        """Throw the window away."""
        status, _ = self._post(f"{RESET_PATH}?generation={self.generation}")
        assert status == 204
        self.generation += 1

    def save(self) -> None:
        """Save the window as it stands."""
        assert self._post(f"{SAVE_PATH}?file_path=between.json")[0] == 200
        saved = read_save(self._saves / "between.json")
        self.saved.setdefault(saved.generation, []).append(saved)

    def rotate(self) -> None:
        """Save the whole window and begin the next."""
        name = f"window-{self.generation}.json"
        status, answer = self._post(f"{ROTATE_PATH}?file_path={name}&generation={self.generation}")
        assert (200, self.generation) == (status, answer["saved_generation"])
        saved = read_save(self._saves / name)
        assert self.generation == saved.generation
        self.rotated[self.generation] = saved
        self.generation = answer["generation"]

    def _post(self, path: str) -> tuple[int, dict[str, int]]:
        return self._sidecar.request("POST", path)


@pytest.mark.timeout(scaled(120, full=300))
def test_windows_that_end_under_full_ingest(frequent_checkpoints: Sidecar, proof: Proof) -> None:
    """Reset, saved and rotated under full ingest, all windows together hold each acknowledged call once, to the ns."""
    sidecar = frequent_checkpoints
    operator, senders = Operator(sidecar), Senders(lambda: sidecar.port, SENDERS)
    draws = Random(CHANGES)
    for _ in range(CHANGES):
        senders.wait_for(draws.randint(1, 8))
        draws.choice((operator.reset, operator.save, operator.rotate))()
    operator.rotate()
    senders.wait_for(1)
    senders.stop()
    operator.rotate()
    assert sidecar.stop() == 0

    acknowledged = Counted(senders.calls(), senders.total_ns())
    history = read_history(sidecar.directory / "data")
    calls, total_ns = (difference(*pair) for pair in zip(acknowledged, history, strict=True))
    unaccounted = unaccounted_batches(operator.rotated, senders.batches_of)
    proof.reached("changes", f"{CHANGES}, {operator.generation - 1 - len(operator.rotated)} of them resets")
    proof.reached("acknowledged", f"{acknowledged.calls.total()} calls")
    proof.reached("difference to all generations", f"{calls} calls, {total_ns} ns", goal=0)
    proof.reached("batches between windows", unaccounted, goal=0)
    assert (0, 0, 0) == (calls, total_ns, unaccounted)
    for generation, window in operator.rotated.items():
        stages = [*operator.saved.get(generation, []), window]
        for earlier, later in pairwise(batches_in(stage, senders.batches_of) for stage in stages):
            assert all(later[sender][: len(numbers)] == numbers for sender, numbers in earlier.items())


def difference(one: Counter[str], other: Counter[str]) -> int:
    """Return by how much two counts differ, either way."""
    return (one - other).total() + (other - one).total()
