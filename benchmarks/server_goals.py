"""The goals that the sidecar is held against, and the tables that say which of them are met: ratios first."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.server_cases import Turn

CLOCK: Final = " by the clock"

Figures = Mapping[str, float]
"""What one round measured, by name; rates twice: of one core, and with `CLOCK` after the name by the clock."""


class Case(NamedTuple):
    """One kind of load on one server."""

    title: str
    unit: str
    peer: str | None = None
    """What must be installed for it."""


class Round(NamedTuple):
    """What one round measured: what the servers did, and the figures beside it."""

    turns: Mapping[str, Turn]
    others: Mapping[str, float]

    @property
    def figures(self) -> Figures:
        """All of it as figures."""
        rates = {name: turn.per_cpu_second for name, turn in self.turns.items()}
        clock = {name + CLOCK: turn.per_second for name, turn in self.turns.items()}
        lost = [turn.lost for name, turn in self.turns.items() if name in OURS and turn.lost is not None]
        return {**self.others, **rates, **clock, **({"lost": max(map(abs, lost))} if lost else {})}


class Goal(NamedTuple):
    """A figure, or the ratio of two, and what it must reach."""

    title: str
    name: str
    base: str | None
    limit: float
    at_least: bool = False

    def value(self, figures: Figures, suffix: str = "") -> float | None:
        """Return the value in one round; None where it was not measured."""
        name, base = self.name + suffix, self.base and self.base + suffix
        if name not in figures or (base and base not in figures):
            return None
        return figures[name] / (figures[base] if base else 1)

    def is_met(self, value: float) -> bool:
        """Say whether a value reaches the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


CASES: Final = {
    "floor": Case("aiohttp handler that reads the body, one sample a request", "requests"),
    "one": Case("chronoprof-sidecar, one sample a request", "requests"),
    "thousand": Case("chronoprof-sidecar, 1000 samples a request, 10 functions", "samples"),
    "hundred": Case("chronoprof-sidecar, 100 functions a request", "requests"),
    "statsd": Case("npm statsd, 1 timing a packet", "samples", "statsd"),
    "statsd 30": Case("npm statsd, 30 timings a packet", "samples", "statsd"),
    "collectd 30": Case("collectd's statsd in C, 30 timings a packet", "samples", "collectd"),
    "pushgateway": Case("Pushgateway, 100 functions a push", "requests", "pushgateway"),
}

OURS: Final = ("one", "thousand", "hundred")

RATIOS: Final = (
    Goal("`functions` body, from bytes to the table / orjson.loads", "wire functions", None, 4),
    Goal("`durations` body of 10 000, the same", "wire durations", None, 5.5),
    Goal("`samples` body of 1000, the same", "wire samples", None, 3.5),
    Goal("one-sample request / aiohttp handler that reads the body", "one", "floor", 0.5, at_least=True),
    Goal("1000 samples a request / npm statsd, 30 a packet", "thousand", "statsd 30", 6, at_least=True),
    Goal("1000 samples a request / collectd, 30 a packet", "thousand", "collectd 30", 1, at_least=True),
    Goal("100 functions a request / Pushgateway", "hundred", "pushgateway", 5, at_least=True),
    Goal("acknowledgement at 1000 batches/s / raw fdatasync, p50", "acknowledged", "fdatasync", 2),
    Goal("memory after sustained load / when filled", "sustained", "filled", 1.1),
)
AMOUNTS: Final = (
    Goal("1000 samples a request: samples/s of one core", "thousand", None, 3_000_000, at_least=True),
    Goal("acknowledged samples that are not shown", "lost", None, 0),
    Goal("ready again after kill -9 under full load, s", "restart", None, 2),
    Goal("the same with many wide functions, s", "restart wide", None, 2),
    Goal("memory with many wide functions, MB", "filled", None, 150),
    Goal("GET data of many functions at full ingest, ms", "read", None, 300),
    Goal("slowest ingest request: what these reads add, ms", "slower", None, 50),
)
DETAILS: Final = {
    "acknowledged": "acknowledgement at 1000 batches/s: p50, ms",
    "acknowledged p99": "acknowledgement at 1000 batches/s: p99, ms",
    "fdatasync": "raw fdatasync of 4 KiB appended, one at a time: p50, ms",
    "restart CPU": "ready again after kill -9: CPU seconds",
    "restart wide CPU": "the same with many wide functions: CPU seconds",
    "sustained": "memory with many wide functions, after sustained load, MB",
    "read slowest": "GET data of many functions at full ingest: slowest, ms",
    "p99 undisturbed": "ingest request without reads: p99, ms",
    "p99 disturbed": "ingest request with reads: p99, ms",
    "slowest undisturbed": "ingest request without reads: slowest, ms",
    "slowest disturbed": "ingest request with reads: slowest, ms",
}


def print_goals(rounds: Sequence[Round]) -> None:
    """Print each goal beside what was reached, in the median of the rounds."""
    for title, goals in (("ratio", RATIOS), ("amount", AMOUNTS)):
        head = f"{title:58} {'median':>10} {'min':>10} {'max':>10} {'by clock':>10} {'goal':>11}"
        _print_table(head, [_goal_row(goal, rounds) for goal in goals])


def print_turns(rounds: Sequence[Round]) -> None:
    """Print what each server did: of its core, by the clock, how busy server and load were, and what was lost."""
    head = f"{'of one core':>11} {'min':>10} {'max':>10} {'by clock':>10} {'busy':>5} {'load':>5} {'lost':>7}"
    rows = [
        _turn_row(case, [each.turns[name] for each in rounds if name in each.turns]) for name, case in CASES.items()
    ]
    _print_table(f"{'units a second':69} {head}", rows)


def print_details(rounds: Sequence[Round]) -> None:
    """Print what is behind the goals."""
    values = {name: [each.figures[name] for each in rounds if name in each.figures] for name in DETAILS}
    rows = [f"{title:58} {_spread(values[name])}" if values[name] else "" for name, title in DETAILS.items()]
    _print_table(f"{'behind it':58} {'median':>10} {'min':>10} {'max':>10}", rows)


def _goal_row(goal: Goal, rounds: Sequence[Round]) -> str:
    values = [value for each in rounds if (value := goal.value(each.figures)) is not None]
    if not values:
        return ""
    clock = [value for each in rounds if (value := goal.value(each.figures, CLOCK)) is not None]
    limit = ("≥ " if goal.at_least else "≤ ") + f"{goal.limit:,}"
    met = "met" if goal.is_met(statistics.median(values)) else "missed"
    return f"{goal.title:58} {_spread(values)} {_median(clock):>10} {limit:>11} {met}"


def _turn_row(case: Case, turns: Sequence[Turn]) -> str:
    if not turns:
        return ""
    seconds = sum(turn.seconds for turn in turns)
    busy = sum(turn.server_cpu_seconds for turn in turns) / seconds
    load = sum(turn.load_cpu_seconds for turn in turns) / seconds
    lost = [turn.lost for turn in turns if turn.lost is not None]
    share = f"{statistics.median(lost):7.2%}" if lost else ""
    clock = _median([turn.per_second for turn in turns])
    rates = _spread([turn.per_cpu_second for turn in turns])
    return f"{f'{case.title}: {case.unit}':69}  {rates} {clock:>10} {busy:5.0%} {load:5.0%} {share}".rstrip()


def _print_table(head: str, rows: Sequence[str]) -> None:
    """Print what was measured; an empty row was not."""
    if any(rows):
        print("", head, *filter(None, rows), sep="\n")


def _spread(values: Sequence[float]) -> str:
    return f"{_median(values):>10} {_shown(min(values)):>10} {_shown(max(values)):>10}"


def _median(values: Sequence[float]) -> str:
    return _shown(statistics.median(values)) if values else ""


def _shown(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
