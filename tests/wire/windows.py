"""Windows and saves for tests that read them: durations by function name, counted as a sidecar would."""

from collections.abc import Mapping, Sequence
from random import Random

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.table import Table
from chronoprof_sidecar.wire.saves import render_json_save
from tests.domain.building import statistics
from tests.wire.counting import ARRIVED_NS, snapshot_of

Durations = Mapping[str, Sequence[int]] | Mapping[RowKey, Sequence[int]]


def window_of(durations_ns: Durations, losses: dict[str, Losses] | None = None) -> Snapshot:
    """Return a window of a minute; a bare name is a function of version 1 of the service `shop`."""
    table = Table()
    for key, durations in durations_ns.items():
        row_key = RowKey(key, "shop", "1") if isinstance(key, str) else key
        table.put(row_key, statistics(durations, arrived_ns=ARRIVED_NS))
    return snapshot_of(table, losses)


def save_of(durations_ns: Durations, losses: dict[str, Losses] | None = None) -> bytes:
    """Return the save of such a window."""
    return b"".join(render_json_save(window_of(durations_ns, losses)))


def lognormal(random: Random, median_ns: float, calls: int, *, outliers: float = 0.0) -> list[int]:
    """Return durations as services have them: a long tail and, in so many of all calls, something 20 times slower."""
    return [
        round(median_ns * random.lognormvariate(0, 0.5) * (20 if random.random() < outliers else 1))
        for _ in range(calls)
    ]
