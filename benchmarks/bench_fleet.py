"""What a fleet's table costs: batches a second, and CPU and bytes of each, beside the embedded store in the same run.

    make bench-fleet                        # ARGS=--quick for a glance

Real sidecars and a real PostgreSQL that syncs, all on loopback. Sidecars, database and load share this machine's cores,
so more replicas cannot be faster here; what they cost, they cost anywhere. A model is fitted to some of the cases, told
with its error in those that it has not seen, and carried on to larger fleets on paper.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.fleet_cases import Case, Measured, measure_ageing, measure_embedded, measure_fleet, measure_newcomers
from benchmarks.fleet_database import Databases, running_databases
from benchmarks.fleet_model import fit
from benchmarks.fleet_tables import print_ageing, print_cases, print_check, print_model, print_paper
from benchmarks.machine import describe_machine
from tests.store.server import find_release


@dataclass(frozen=True)
class Scale:
    """How much of it: all, or a glance."""

    seconds: float
    fitted: Sequence[Case]
    checked: Sequence[Case]
    embedded: Sequence[Case]
    senders: Sequence[int]
    history_minutes: Sequence[int]
    aged_functions: int
    aged_minutes: int


_MANY: Final = Case()
FULL: Final = Scale(
    seconds=4.0,
    fitted=(
        Case(1, 8),
        Case(1, 64),
        Case(10, 1),
        Case(10, 64),
        Case(100, 1),
        Case(100, 8),
        _MANY,
        Case(100, 64, services=8),
        Case(1000, 4),
    ),
    checked=(
        Case(30, 16),
        Case(300, 4),
        Case(100, 32, services=4),
        replace(_MANY, replicas=2),
        replace(_MANY, replicas=4),
        Case(1, 600),
    ),
    embedded=(Case(1, 64), Case(10, 64), Case(100, 1), _MANY, Case(1000, 4)),
    senders=(1024, 9984),
    history_minutes=(60, 1440),
    aged_functions=1000,
    aged_minutes=30,
)
QUICK: Final = Scale(
    seconds=0.5,
    fitted=(Case(1, 16), Case(20, 1), Case(20, 16)),
    checked=(Case(10, 8, replicas=2),),
    embedded=(Case(20, 16),),
    senders=(),
    history_minutes=(),
    aged_functions=20,
    aged_minutes=4,
)
PACKAGES: Final = ("aiohttp", "asyncpg", "msgspec", "orjson")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description="What a fleet's table costs, beside the embedded store.")
    parser.add_argument("--quick", action="store_true", help="a few short cases: a glance, not a measurement")
    scale = QUICK if parser.parse_args(argv).quick else FULL
    print(describe_machine(PACKAGES), find_release(), sep="\n")
    print("sidecars, PostgreSQL and load share these cores; all on loopback, the disk is synced")
    with running_databases() as databases:
        fitted = _measure(scale.fitted, databases, scale.seconds)
        checked = _measure(scale.checked, databases, scale.seconds)
        embedded = [measure_embedded(case, scale.seconds) for case in scale.embedded]
        others = _measure_others(scale, databases)
        ageing = measure_ageing(scale.aged_functions, scale.aged_minutes, databases)
    print_cases([*fitted, *checked, *others], embedded)
    print_ageing(ageing)
    model = fit(fitted)
    print_model(model)
    print_check(model, checked)
    print_paper(model)


def _measure(cases: Sequence[Case], databases: Databases, seconds: float) -> list[Measured]:
    measured = []
    for case in cases:
        print(case, file=sys.stderr, flush=True)
        measured.append(measure_fleet(case, databases, seconds))
    return measured


def _measure_others(scale: Scale, databases: Databases) -> list[Measured]:
    senders = [replace(_MANY, senders=number) for number in scale.senders]
    histories = [replace(_MANY, history_minutes=minutes) for minutes in scale.history_minutes]
    newcomers = [measure_newcomers(number, databases) for number in scale.senders]
    return [*newcomers, *_measure([*senders, *histories], databases, scale.seconds)]


if __name__ == "__main__":
    main()
