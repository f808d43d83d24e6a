"""What a fleet costs, from what a few cases cost: sums of a transaction's parts, fitted to some and checked on others.

A transaction counts m batches of f functions and touches r rows, each of a window and of a minute. It costs

    sidecar    so much, + so much a batch, + so much a function in it, + so much a row
    database   so much, + so much a batch, + so much a row, + so much a row whose buckets are merged
    log        as the database

r is f times the sets of functions that are among m batches. A row's buckets are merged the likelier the more are added.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.fleet_cases import SAMPLES, Measured
from chronoprof_sidecar.store.postgresql.writer import BATCHES_PER_COMMIT, COMMIT_BYTES

_UNMERGED_BUCKETS: Final = 128
_BUCKETS: Final = 350
"""Of a function that was seen for a while."""
_BUSY: Final = 0.7
"""What a replica may be busy for, so that a rush finds it able to catch up."""


@dataclass(frozen=True)
class Transaction:
    """What one transaction has to do."""

    batches: float
    functions: int
    services: int = 1

    @property
    def rows(self) -> float:
        """How many functions it touches."""
        return self.functions * self.services * (1 - math.pow(1 - 1 / self.services, self.batches))

    @property
    def merged_rows(self) -> float:
        """How many of them have their buckets merged, on the average."""
        samples = SAMPLES * self.batches * self.functions / self.rows
        added = _BUCKETS * (1 - math.exp(-samples / _BUCKETS))
        return self.rows * min(1.0, added / _UNMERGED_BUCKETS)

    @property
    def for_sidecar(self) -> list[float]:
        """What the sidecar's cost is made of."""
        return [1.0, self.batches, self.batches * self.functions, self.rows]

    @property
    def for_database(self) -> list[float]:
        """What the database's cost is made of."""
        return [1.0, self.batches, self.rows, self.merged_rows]


@dataclass(frozen=True)
class Model:
    """Coefficients of a transaction's parts: milliseconds of CPU, and bytes of the write-ahead log."""

    sidecar: Sequence[float]
    database: Sequence[float]
    wal: Sequence[float]

    def sidecar_ms(self, transaction: Transaction) -> float:
        """Return the sidecar's CPU time of a batch."""
        return float(np.dot(self.sidecar, transaction.for_sidecar)) / transaction.batches

    def database_ms(self, transaction: Transaction) -> float:
        """Return the database's CPU time of a batch."""
        return float(np.dot(self.database, transaction.for_database)) / transaction.batches

    def wal_bytes(self, transaction: Transaction) -> float:
        """Return what a batch adds to the write-ahead log."""
        return float(np.dot(self.wal, transaction.for_database)) / transaction.batches

    def replicas(self, batches_per_second: float, functions: int, services: int, body_bytes: float) -> int:
        """Return how many sidecars it takes: each does one transaction at a time, and waits for the database."""
        fullest = Transaction(most_batches(body_bytes), functions, services)
        busy_ms = self.sidecar_ms(fullest) + self.database_ms(fullest)
        return math.ceil(batches_per_second * busy_ms / 1000 / _BUSY)

    def settle(self, batches_per_second: float, functions: int, services: int, body_bytes: float) -> Transaction:
        """Return the transaction that a replica comes to: it counts what arrived while the one before it ran."""
        transaction = Transaction(1.0, functions, services)
        for _ in range(200):
            took = self.sidecar_ms(transaction) + self.database_ms(transaction)
            arrived = batches_per_second * took * transaction.batches / 1000
            batches = min(most_batches(body_bytes), max(1.0, (transaction.batches + arrived) / 2))
            transaction = Transaction(batches, functions, services)
        return transaction


def most_batches(body_bytes: float) -> float:
    """Return how many batches of a size fit in one transaction."""
    return max(1.0, min(BATCHES_PER_COMMIT, COMMIT_BYTES / body_bytes))


def transaction_of(measured: Measured) -> Transaction:
    """Return the average transaction of a case."""
    return Transaction(measured.batches_per_transaction, measured.case.functions, measured.case.services)


def fit(cases: Sequence[Measured]) -> Model:
    """Return the coefficients, none negative, that come nearest to what was measured, in relation to it."""
    transactions = [transaction_of(measured) for measured in cases]
    database = [each.for_database for each in transactions]
    return Model(
        _solve([each.for_sidecar for each in transactions], _of_transactions(cases, lambda each: each.sidecar_ms)),
        _solve(database, _of_transactions(cases, lambda each: each.database_ms)),
        _solve(database, _of_transactions(cases, lambda each: each.wal_bytes)),
    )


def _of_transactions(cases: Sequence[Measured], cost: Callable[[Measured], float]) -> list[float]:
    return [cost(measured) * measured.batches_per_transaction for measured in cases]


def _solve(parts: Sequence[Sequence[float]], costs: Sequence[float]) -> list[float]:
    """Return the least squares of relative errors; a part that would come out negative is left out."""
    relative = np.array(parts) / np.array(costs)[:, None]
    kept = list(range(relative.shape[1]))
    while True:
        found = np.linalg.lstsq(relative[:, kept], np.ones(len(costs)), rcond=None)[0]
        if min(found) >= 0:
            break
        kept.pop(int(np.argmin(found)))
    coefficients = [0.0] * relative.shape[1]
    for part, value in zip(kept, found, strict=True):
        coefficients[part] = float(value)
    return coefficients
