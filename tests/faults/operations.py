"""What changes the stored state, as an operator or a sender sees it: done, interrupted, looked at, and done again.

Each operation is tried again and again. Before a trial it makes sure that there is something to change; after a crash
it says which state stands, and repeats what nobody was told of.
"""

import http.client
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chronoprof_sidecar.protocol import DATA_PATH, INGEST_PATH, ROTATE_PATH, SAVE_PATH
from tests.faults.stored import counted_in, read_save, temporary_files
from tests.process.sidecar import ADMIN_KEY, INGEST_KEY, Sidecar

NAMES = 12
OLD, NEW, TORN = "old", "new", "torn"


class Operation(ABC):
    """One change, on a sidecar that has no other sender."""

    def __init__(self, sidecar: Sidecar) -> None:
        self._sidecar = sidecar
        self.sent = 0
        self._saves = sidecar.directory / "data" / "saves"

    def prepare(self) -> None:
        """Begin a trial with a batch of its own: something that is to change."""
        self.sent += 1
        assert self.send(self.sent) is False

    @abstractmethod
    def perform(self) -> bool:
        """Do it; say whether its success was reported."""

    @abstractmethod
    def state(self) -> str:
        """Say whether exactly the old state stands, or exactly the new one, or neither."""

    @abstractmethod
    def repeat(self) -> None:
        """Do again what may not have been reported, whichever state stands; then the new one must."""

    def ask(
        self, path: str, body: object = None, *, key: str = ADMIN_KEY, method: str = "POST"
    ) -> tuple[int, Any] | None:
        """Return status and answer of a request; None when there was no answer."""
        try:
            return self._sidecar.request(method, path, body, key=key)
        except (OSError, http.client.HTTPException):
            return None

    def send(self, seq: int) -> bool | None:
        """Send one sender's batch, a call in every row; return whether it was counted before.

        None: there was no answer, or the sidecar asked to come again.
        """
        body = {"client": {"id": "steady", "seq": seq}, "durations": {f"f{n}": [seq / 1e6] for n in range(NAMES)}}
        answer = self.ask(INGEST_PATH, body, key=INGEST_KEY)
        if answer is None or answer[0] == 503:
            return None
        status, report = answer
        assert (200, NAMES) == (status, report["accepted"])
        return bool(report["duplicate"])

    def batches(self) -> int | None:
        """Return how many batches the window counts."""
        return whole_batches(self._sidecar.calls())


class _Counting(Operation):
    """Whatever ends with the trial's batch in the window."""

    def state(self) -> str:
        states: dict[int | None, str] = {self.sent - 1: OLD, self.sent: NEW}
        return states.get(self.batches(), TORN)

    def repeat(self) -> None:
        counted = self.state() == NEW
        assert counted is self.send(self.sent)
        assert NEW == self.state()


class Commit(_Counting):
    """A batch is journaled."""

    def prepare(self) -> None:
        self.sent += 1

    def perform(self) -> bool:
        return self.send(self.sent) is not None


class Checkpoint(_Counting):
    """All rows, minutes and senders are written, the journal is cut, and SQLite moves its log into the file."""

    def perform(self) -> bool:
        return self._sidecar.stop() == 0

    def state(self) -> str:
        # The batch was acknowledged before, so there is no old state to go back to.
        return NEW if super().state() == NEW else TORN


class Save(Operation):
    """The window replaces an older file of the same name."""

    def prepare(self) -> None:
        super().prepare()
        self._path = self._saves / "kept.json"
        self._before = content_of(self._path)

    def perform(self) -> bool:
        answer = self.ask(f"{SAVE_PATH}?file_path={self._path.name}")
        return answer is not None and answer[0] == 200

    def state(self) -> str:
        if self.sent != self.batches() or temporary_files(self._saves):
            return TORN
        if self._before == content_of(self._path):
            return OLD
        return NEW if self.sent == whole_batches(counted_in(read_save(self._path)).calls) else TORN

    def repeat(self) -> None:
        assert self.perform()
        assert NEW == self.state()


class Rotate(Operation):
    """The window becomes a file and a new one begins."""

    def prepare(self) -> None:
        super().prepare()
        self._path = self._saves / f"rotated-{self.sent}.json"
        self._generation = self._current_generation()

    def perform(self) -> bool:
        return self._rotate() == 200

    def state(self) -> str:
        stands = (self._current_generation(), self.batches(), self._path.exists(), temporary_files(self._saves))
        if stands == (self._generation, 1, False, []):
            return OLD
        if stands != (self._generation + 1, 0, True, []):
            return TORN
        saved = read_save(self._path)
        whole = (self._generation, 1) == (saved.generation, whole_batches(counted_in(saved).calls))
        return NEW if whole else TORN

    def repeat(self) -> None:
        status = {OLD: 200, NEW: 409}[self.state()]
        assert status == self._rotate()
        assert NEW == self.state()

    def _rotate(self) -> int | None:
        answer = self.ask(f"{ROTATE_PATH}?file_path={self._path.name}&generation={self._generation}")
        return None if answer is None else answer[0]

    def _current_generation(self) -> int:
        _, answer = self._sidecar.request("GET", DATA_PATH)
        return int(answer["meta"]["generation"])


def whole_batches(calls: Mapping[str, int]) -> int | None:
    """Return how many batches these calls are; None if some batch is there in part."""
    counts = {calls.get(f"f{n}", 0) for n in range(NAMES)}
    return counts.pop() if len(counts) == 1 else None


def content_of(path: Path) -> bytes | None:
    """Return the bytes of a file; None if there is none."""
    return path.read_bytes() if path.exists() else None
