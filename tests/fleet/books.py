"""What every replica has to report after so many acknowledged batches: each figure of each row, to the last bucket."""

import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from chronoprof_sidecar.protocol import API_PREFIX, bucket_of
from chronoprof_sidecar.wire.saves import load_save
from tests.faults.senders import batch_ns
from tests.process.sidecar import ADMIN_KEY, DEADLINE_SECONDS, Sidecar


@dataclass
class Row:
    """The figures of one function that are the same wherever and whenever it was counted."""

    total_ns: int = 0
    min_ns: int | None = None
    max_ns: int = 0
    buckets: Counter[int] = field(default_factory=Counter)

    @property
    def calls(self) -> int:
        """How many calls there are in its buckets."""
        return self.buckets.total()

    def count(self, calls_ns: Sequence[int]) -> None:
        """Add calls."""
        self.total_ns += sum(calls_ns)
        self.min_ns = min(calls_ns) if self.min_ns is None else min(self.min_ns, *calls_ns)
        self.max_ns = max(self.max_ns, *calls_ns)
        self.buckets.update(bucket_of(duration / 1e9) for duration in calls_ns)


def expect(batches: Mapping[str, int]) -> dict[str, Row]:
    """Return the rows of so many batches of each sender."""
    rows: dict[str, Row] = {}
    for sender, number in batches.items():
        for seq in range(1, number + 1):
            for name, calls_ns in batch_ns(sender, seq).items():
                rows.setdefault(name, Row()).count(calls_ns)
    return rows


def read_saved(replica: Sidecar, name: str) -> dict[str, Row]:
    """Have a replica save the window, and return the rows of that save."""
    status, answer = replica.request("POST", f"{API_PREFIX}/save?file_path={name}")
    assert status == 200, answer
    snapshot = load_save(download(replica, name))
    return {
        key.function_name: Row(row.total_ns, row.min_ns, row.max_ns, Counter(_by_bucket(*row.histogram.to_sparse())))
        for key, row in snapshot.rows
    }


def _by_bucket(buckets: Sequence[int], counts: Sequence[int]) -> dict[int, int]:
    return dict(zip(buckets, counts, strict=True))


def download(replica: Sidecar, name: str) -> bytes:
    """Return the bytes of a save as a replica hands them out."""
    request = urllib.request.Request(f"{replica.url}{API_PREFIX}/saves/{name}", headers={"X-API-Key": ADMIN_KEY})
    with urllib.request.urlopen(request, timeout=DEADLINE_SECONDS) as answer:
        content: bytes = answer.read()
    return content


def difference(expected: Mapping[str, Row], counted: Mapping[str, Row]) -> tuple[int, int]:
    """Return how many of the expected calls are missing, and how many there are beyond them."""
    there = Counter({name: row.calls for name, row in counted.items()})
    due = Counter({name: row.calls for name, row in expected.items()})
    return (due - there).total(), (there - due).total()
