"""What the shim adds to a call of an app, beside every peer that is installed, in one interleaved run.

    make bench-client                       # ARGS=--quick for a glance

Each figure is measured in a process of its own, in turns with what its ratio is to; a round measures all of them once.
The table shows the median ratio of the rounds with the smallest and the largest, and nanoseconds last: ratios survive
a change of machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.client_process import SPECIAL
from benchmarks.client_variants import BLOCK, FLOOR, GENERIC, GENERIC_ASYNC, VARIANTS
from benchmarks.machine import describe_machine
from benchmarks.surroundings import surroundings

THREADS: Final = 4
PACKAGES: Final = ("prometheus_client", "datadog", "opentelemetry-sdk", "statsd", "starlette", "flask", "numpy")
TITLES: Final = {
    "cpu": "CPU of `timed` until acknowledged",
    "cpu-numpy": "the same, numpy imported by the app",
    "asgi": "ASGI middleware, a request (Starlette)",
    "wsgi": "WSGI middleware, a request (Flask)",
}


class Case(NamedTuple):
    """One ratio of a round: a variant, and what it is measured beside."""

    name: str
    beside: str
    threads: int = 1

    @property
    def title(self) -> str:
        """What the table calls it."""
        title = TITLES.get(self.name) or VARIANTS[self.name].title
        return f"{title}, {self.threads} threads" if self.threads > 1 else title


class Figure(NamedTuple):
    """What one process measured."""

    ns: float
    ratio: float


Figures = dict[Case, list[Figure]]

COMPARISONS: Final = {
    "`timed` against the floor": Case("timed", FLOOR),
    "`timer` against a context manager that records nothing": Case("timer", BLOCK),
    f"`timed`, {THREADS} threads against one": Case("timed", "timed", THREADS),
}


def select_cases(names: Sequence[str] | None) -> list[Case]:
    """Return the cases whose packages are installed."""
    cases = [Case(name, _base_of(name)) for name in (*VARIANTS, *SPECIAL)]
    cases += [Case(name, GENERIC, THREADS) for name, variant in VARIANTS.items() if not variant.is_async]
    cases += COMPARISONS.values()
    if names is not None:
        cases = [case for case in cases if case.name in names]
    return [case for case in cases if _is_installed(case.name)]


def run_rounds(cases: Sequence[Case], rounds: int) -> Figures:
    """Return the figures of every case, one for each round."""
    figures: Figures = {case: [] for case in cases}
    with surroundings() as around:
        for _ in range(rounds):
            for case in cases:
                figures[case].append(_measure(case, around.environ))
    return figures


def print_table(figures: Figures) -> None:
    """Print ratios first, then nanoseconds."""
    titles = {case: title for title, case in COMPARISONS.items()}
    print(f"\n{'added to one call':66} {'ratio':>6} {'min':>6} {'max':>6} {'ns':>8}")
    for case, values in figures.items():
        ratios = [value.ratio for value in values]
        spread = f"{statistics.median(ratios):6.2f} {min(ratios):6.2f} {max(ratios):6.2f}"
        print(f"{titles.get(case, case.title):66} {spread} {statistics.median(value.ns for value in values):8.0f}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description="What the shim adds to a call, beside its peers.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*VARIANTS, *SPECIAL], help="these variants alone")
    arguments = parser.parse_args(argv)
    rounds = 1 if arguments.quick else arguments.rounds
    print(describe_machine(PACKAGES))
    print(f"{rounds} rounds, interleaved; ratio to two clock reads inside *args, **kwargs of the same kind")
    print_table(run_rounds(select_cases(arguments.only), rounds))


def _base_of(name: str) -> str:
    """Return what ratios are to: two clock reads inside `*args, **kwargs`, of the same kind."""
    return GENERIC_ASYNC if name in VARIANTS and VARIANTS[name].is_async else GENERIC


def _is_installed(name: str) -> bool:
    if name in SPECIAL:
        return name != "cpu-numpy" or find_spec("numpy") is not None
    package = VARIANTS[name].package
    return package is None or find_spec(package.partition(".")[0]) is not None


def _measure(case: Case, environ: dict[str, str]) -> Figure:
    command = [sys.executable, "-m", "benchmarks.client_process", case.name]
    command += [f"--threads={case.threads}", f"--beside={case.beside}"]
    with TemporaryDirectory() as directory:
        if case.name in VARIANTS and VARIANTS[case.name].multiprocess:
            environ = {**environ, "PROMETHEUS_MULTIPROC_DIR": directory}
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True, timeout=120)
    measured = json.loads(done.stdout)
    return Figure(measured["ns"], measured["ns"] / measured["beside_ns"])


if __name__ == "__main__":
    main()
