"""The tables of the fleet's benchmark: what was measured, the model beside it, and larger fleets on paper."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from benchmarks.fleet_cases import Ageing, Case, Measured
from benchmarks.fleet_model import Model, transaction_of

_BODY_BYTES: Final = 220
"""Of a function in a batch, and of the batch itself; measured, as the bodies of the cases are."""


class Fleet(NamedTuple):
    """A fleet on paper."""

    processes: int
    functions: int
    flush_seconds: float
    services: int


FLEETS: Final = (
    Fleet(100, 30, 1, 1),
    Fleet(1000, 30, 1, 10),
    Fleet(1000, 30, 10, 10),
    Fleet(10_000, 30, 10, 20),
    Fleet(10_000, 30, 60, 20),
    Fleet(100_000, 30, 10, 50),
    Fleet(100_000, 30, 60, 50),
    Fleet(100_000, 30, 300, 50),
)


def print_cases(measured: Sequence[Measured], embedded: Sequence[Measured]) -> None:
    """Print what each case came to; the last column is CPU of all to that of the embedded store in the same case."""
    print(
        f"\n{'':60} {'batches':>8} {'in one':>7} {'sidecar':>8} {'database':>8} {'log':>8} {'disk':>8} {'CPU to':>8}\n"
        f"{'':60} {'/s':>8} {'commit':>7} {'ms':>8} {'ms':>8} {'KB':>8} {'KB':>8} {'embedded':>8}"
    )
    floors = {each.case: each.cpu_ms for each in embedded}
    for each in measured:
        ratio = f"{each.cpu_ms / floors[each.case]:8.1f}" if each.case in floors else ""
        kilobytes = f"{each.wal_bytes / 1000:8.2f} {each.disk_bytes / 1000:8.2f}"
        print(f"{_name(each.case):60} {_figures(each)} {kilobytes} {ratio}".rstrip())
    for each in embedded:
        print(f"{'embedded: ' + _name(each.case):60} {_figures(each)} {'':17} {1:8.1f}")


def print_ageing(ageing: Ageing) -> None:
    """Print what retention costs, and what it leaves behind."""
    print(f"\na minute of {ageing.functions} functions, moved to its hour")
    print(
        f"  database {ageing.aged_ms:.0f} ms and {ageing.aged_wal_bytes / 1e6:.2f} MB of log;"
        f" of it deleting {ageing.erased_ms:.0f} ms and {ageing.erased_wal_bytes / 1e6:.2f} MB"
    )
    print(
        f"  after {ageing.minutes} minutes came and went: the database has {ageing.growth:.2f} of the disk that it had"
    )


def print_model(model: Model) -> None:
    """Print the coefficients."""
    heads = ("commit", "batch", "function", "row", "merged row")
    print(f"\n{'costs of a':24}" + "".join(f"{head:>12}" for head in heads))
    s, d, w = (
        [f"{value * scale:,.3f}" for value in values]
        for values, scale in ((model.sidecar, 1), (model.database, 1), (model.wal, 1e-3))
    )
    print(f"{'sidecar, ms':24}" + "".join(f"{value:>12}" for value in (*s, "")))
    for title, values in (("database, ms", d), ("log, KB", w)):
        print(f"{title:24}" + "".join(f"{value:>12}" for value in (*values[:2], "", *values[2:])))


def print_check(model: Model, checked: Sequence[Measured]) -> None:
    """Print the model's error where it has not seen what was measured."""
    print(f"\n{'not used for the model: model / measured':60} {'sidecar':>8} {'database':>8} {'log':>8}")
    for each in checked:
        transaction = transaction_of(each)
        ratios = (
            model.sidecar_ms(transaction) / each.sidecar_ms,
            model.database_ms(transaction) / each.database_ms,
            model.wal_bytes(transaction) / each.wal_bytes,
        )
        print(f"{_name(each.case):60}" + "".join(f" {ratio:8.2f}" for ratio in ratios))


def print_paper(model: Model) -> None:
    """Print what the model says of larger fleets."""
    print(
        f"\n{'on paper: processes, functions each, flush interval, services':62}"
        f" {'batches/s':>9} {'replicas':>8} {'in one':>7} {'sidecars':>9} {'database':>9} {'log':>8} {'network':>8}\n"
        f"{'':62} {'':9} {'':8} {'commit':>7} {'cores':>9} {'cores':>9} {'MB/s':>8} {'MB/s':>8}"
    )
    for fleet in FLEETS:
        rate, body = fleet.processes / fleet.flush_seconds, fleet.functions * _BODY_BYTES
        replicas = model.replicas(rate, fleet.functions, fleet.services, body)
        each = model.settle(rate / replicas, fleet.functions, fleet.services, body)
        name = f"{fleet.processes:,} x {fleet.functions}, every {fleet.flush_seconds:g} s, {fleet.services} services"
        print(
            f"{name:62} {rate:9,.0f} {replicas:8} {each.batches:7.1f} {rate * model.sidecar_ms(each) / 1000:9.1f}"
            f" {rate * model.database_ms(each) / 1000:9.1f} {rate * model.wal_bytes(each) / 1e6:8.1f}"
            f" {rate * body / 1e6:8.1f}"
        )


def _name(case: Case) -> str:
    """Return a case in words: what differs from one replica and one service."""
    words = [f"{case.functions} functions, {case.connections} at once"]
    words += [f"{case.replicas} replicas"] * (case.replicas > 1)
    words += [f"{case.services} services"] * (case.services > 1)
    words += [f"{case.senders:,} {'new ' * case.newcomers}senders"] * bool(case.senders)
    words += [f"{case.history_minutes} minutes before"] * bool(case.history_minutes)
    return ", ".join(words)


def _figures(measured: Measured) -> str:
    merged = f"{measured.batches_per_transaction:7.1f}" if measured.wal_bytes else f"{'':7}"
    return f"{measured.batches_per_second:8,.0f} {merged} {measured.sidecar_ms:8.3f} {measured.database_ms:8.3f}"
