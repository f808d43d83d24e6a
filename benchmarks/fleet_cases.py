"""What is measured of a fleet: each case is real sidecars on a database of its own, or one with the embedded store.

Sidecars, database and load share the machine's cores, so batches by the clock say what all of it does together. Costs
are of CPU time, each process's own, and of bytes: what else the machine does changes them little.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, cycle
from typing import Final

from benchmarks.fleet_database import Counters, Database, Databases
from benchmarks.server_bodies import encode_functions, encode_sample, feed_batches
from benchmarks.server_cases import new_directory
from benchmarks.server_load import Feed, Load, run_load
from benchmarks.surroundings import SidecarProcess

SAMPLES: Final = 10
"""Of each function in a batch."""
_FILLED_SAMPLES: Final = 1000
"""Of each function beforehand: some 350 buckets, as a function has them after a while."""
_FUNCTIONS_A_BODY: Final = 100
_BODIES: Final = 2
"""Of each connection's own: of what many senders measure, little is in the same buckets."""
_REGISTER_SECONDS: Final = 120.0
_KEPT_MINUTES: Final = 20
_NOTHING: Final = Counters(0.0, 0, 0, 0)


@dataclass(frozen=True)
class Case:
    """One load on one store."""

    functions: int = 100
    """Per batch."""
    connections: int = 64
    """Batches in flight, of all replicas together."""
    replicas: int = 1
    services: int = 1
    """How many sets of functions the senders ship: a batch holds one of them."""
    senders: int = 0
    """How many take turns on the connections; 0: each connection is one."""
    history_minutes: int = 0
    """What the history holds before."""
    newcomers: bool = False
    """Whether it is the first batch of each sender that is measured."""


@dataclass(frozen=True)
class Measured:
    """What a case came to, and what each of its batches cost; the embedded store costs no database anything."""

    case: Case
    batches_per_second: float
    batches_per_transaction: float
    sidecar_ms: float
    database_ms: float
    wal_bytes: float
    disk_bytes: float
    body_bytes: int

    @property
    def cpu_ms(self) -> float:
        """CPU time of a batch, sidecar and database together."""
        return self.sidecar_ms + self.database_ms


@dataclass(frozen=True)
class Ageing:
    """What moving a minute to its hour costs the database, and what the deletion in it does."""

    functions: int
    minutes: int
    aged_ms: float
    aged_wal_bytes: float
    erased_ms: float
    erased_wal_bytes: float
    growth: float
    """Disk afterwards, to disk before."""


def measure_fleet(case: Case, databases: Databases, seconds: float) -> Measured:
    """Put sidecars that share a database under load, and return what a batch cost."""
    with (
        databases.new() as database,
        running_sidecars(case.replicas, {"CHRONOPROF_STORE": database.url}) as sidecars,
    ):
        return _measure(case, sidecars, database, seconds)


def measure_embedded(case: Case, seconds: float) -> Measured:
    """Put one sidecar with the embedded store under the same load."""
    with running_sidecars(1, {}) as sidecars:
        return _measure(case, sidecars, None, seconds)


def measure_newcomers(senders: int, databases: Databases) -> Measured:
    """Return what the first batch of so many senders costs, one sample each."""
    case = Case(functions=1, senders=senders, newcomers=True)
    with databases.new() as database, running_sidecars(1, {"CHRONOPROF_STORE": database.url}) as sidecars:
        before = database.counters()
        cpu = sidecars[0].cpu_seconds
        feeds = [_first_of(feed, senders // case.connections) for feed in _feeds(case, sidecars)]
        load = run_load(sidecars[0].port, feeds, _REGISTER_SECONDS)
        used = database.counters() - before
        return _cost(case, load, sidecars[0].cpu_seconds - cpu, used, len(encode_sample()))


@contextmanager
def running_sidecars(number: int, settings: dict[str, str]) -> Iterator[list[SidecarProcess]]:
    """Start sidecars, and stop them at the end."""
    with ExitStack() as stack:
        sidecars = []
        for _ in range(number):
            sidecars.append(SidecarProcess(stack.enter_context(new_directory()), settings))
            stack.callback(sidecars[-1].stop)
        yield sidecars


def _measure(case: Case, sidecars: Sequence[SidecarProcess], database: Database | None, seconds: float) -> Measured:
    for sidecar in sidecars:
        _fill(case, sidecar)
    if database is not None and case.history_minutes:
        database.lengthen_history(case.history_minutes)
    feeds = _feeds(case, sidecars)
    ports = [sidecar.port for sidecar in sidecars]
    if case.senders:
        run_load(ports, [_first_of(feed, case.senders // case.connections) for feed in feeds], _REGISTER_SECONDS)
    before = database.counters() if database else _NOTHING
    cpu = sum(sidecar.cpu_seconds for sidecar in sidecars)
    load = run_load(ports, feeds, seconds)
    cpu = sum(sidecar.cpu_seconds for sidecar in sidecars) - cpu
    body = len(encode_functions(range(case.functions), SAMPLES))
    return _cost(case, load, cpu, database.counters() - before if database else _NOTHING, body)


def _fill(case: Case, sidecar: SidecarProcess) -> None:
    """Have every function seen for a while, so that its histogram is as wide as it gets."""
    numbers = range(case.functions * case.services)
    starts = range(0, len(numbers), _FUNCTIONS_A_BODY)
    bodies = [encode_functions(numbers[start : start + _FUNCTIONS_A_BODY], _FILLED_SAMPLES) for start in starts]
    run_load(sidecar.port, [feed_batches(bodies, sidecar.key, once=True)], _REGISTER_SECONDS)


def _feeds(case: Case, sidecars: Sequence[SidecarProcess]) -> list[Feed]:
    """Return what each connection sends: one sender's batches, or those of many in turn, the first of them small."""
    feeds = []
    for number in range(case.connections):
        key = sidecars[number % len(sidecars)].key
        own = _bodies(case, number % case.services)
        first = [encode_sample()] if case.senders else []
        each = max(1, case.senders // case.connections)
        feeds.append(_in_turn([feed_batches(chain(first, cycle(own)), key, once=True) for _ in range(each)]))
    return feeds


def _bodies(case: Case, service: int) -> list[bytes]:
    numbers = range(service * case.functions, (service + 1) * case.functions)
    return [encode_functions(numbers, SAMPLES) for _ in range(_BODIES)]


def _in_turn(feeds: Sequence[Feed]) -> Feed:
    turns = cycle(feeds)

    def next_request() -> bytes | None:
        return next(turns)()

    return next_request


def _first_of(feed: Feed, requests: int) -> Feed:
    """Return so many of the feed's requests, and then no more."""
    left = iter(range(requests))
    return lambda: feed() if next(left, None) is not None else None


def _cost(case: Case, load: Load, sidecar_cpu_seconds: float, used: Counters, body_bytes: int) -> Measured:
    batches = load.requests
    return Measured(
        case=case,
        batches_per_second=batches / load.seconds,
        batches_per_transaction=batches / max(1, used.transactions),
        sidecar_ms=sidecar_cpu_seconds / batches * 1000,
        database_ms=used.cpu_seconds / batches * 1000,
        wal_bytes=used.wal_bytes / batches,
        disk_bytes=used.disk_bytes / batches,
        body_bytes=body_bytes,
    )


def measure_ageing(functions: int, minutes: int, databases: Databases) -> Ageing:
    """Let so many minutes come and go in a history of 20, vacuumed as autovacuum would, and return what it cost."""
    with databases.new() as database:
        with running_sidecars(1, {"CHRONOPROF_STORE": database.url}) as sidecars:
            _fill(Case(functions), sidecars[0])
        return _measure_ageing(functions, minutes, database)


def _measure_ageing(functions: int, minutes: int, database: Database) -> Ageing:
    database.lengthen_history(_KEPT_MINUTES)
    first = database.counters()
    spent: list[Counters] = []
    for number in range(minutes):
        database.next_minute()
        before = database.counters()
        database.age_minute()
        spent.append(database.counters() - before)
        if number % (_KEPT_MINUTES // 5) == 0:
            database.vacuum()
    last = database.counters()
    database.erase_minute()
    erased = database.counters() - last
    return Ageing(
        functions,
        minutes,
        aged_ms=sum(each.cpu_seconds for each in spent) / minutes * 1000,
        aged_wal_bytes=sum(each.wal_bytes for each in spent) / minutes,
        erased_ms=erased.cpu_seconds * 1000,
        erased_wal_bytes=erased.wal_bytes,
        growth=last.disk_bytes / first.disk_bytes,
    )
