"""What the shim adds to a call of an app, beside every peer that is installed, in one interleaved run.

    make bench-client                       # ARGS=--quick for a glance

Each figure is measured in a process of its own; a round measures all of them once, and the table shows the median of
the rounds with the smallest and the largest. Ratios come first: they survive a change of machine.
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

from benchmarks.client_process import GENERIC_BRIEFLY
from benchmarks.client_variants import BLOCK, FLOOR, GENERIC, GENERIC_ASYNC, VARIANTS
from benchmarks.machine import describe_machine
from benchmarks.surroundings import surroundings

THREADS: Final = 4
PACKAGES: Final = ("prometheus_client", "datadog", "opentelemetry-sdk", "statsd", "starlette", "flask", "numpy")
SPECIAL: Final = {
    "cpu": "CPU of `timed` until acknowledged",
    "cpu-numpy": "the same, numpy imported by the app",
    GENERIC_BRIEFLY: "two clock reads, *args, **kwargs, in turns as short as requests",
    "asgi": "ASGI middleware, a request (Starlette)",
    "wsgi": "WSGI middleware, a request (Flask)",
}


class Case(NamedTuple):
    """One figure of a round."""

    name: str
    threads: int = 1

    @property
    def title(self) -> str:
        """What the table calls it."""
        return SPECIAL.get(self.name) or VARIANTS[self.name].title


Figures = dict[Case, list[float]]

COMPARISONS: Final = (
    ("`timed` against the floor", Case("timed"), Case(FLOOR)),
    ("`timer` against a context manager that records nothing", Case("timer"), Case(BLOCK)),
    (f"`timed`, {THREADS} threads against one", Case("timed", THREADS), Case("timed")),
)


def select_cases(names: Sequence[str] | None) -> list[Case]:
    """Return the cases whose packages are installed."""
    cases = [Case(name) for name in (*VARIANTS, *SPECIAL)]
    cases += [Case(name, THREADS) for name, variant in VARIANTS.items() if not variant.is_async]
    if names is not None:
        cases = [case for case in cases if case.name in names]
    return [case for case in cases if _is_installed(case.name)]


def run_rounds(cases: Sequence[Case], rounds: int) -> Figures:
    """Return the nanoseconds of every case, one for each round."""
    figures: Figures = {case: [] for case in cases}
    with surroundings() as around:
        for _ in range(rounds):
            for case in cases:
                figures[case].append(_measure(case, around.environ))
    return figures


def print_table(figures: Figures) -> None:
    """Print ratios first, then nanoseconds."""
    medians = {case: statistics.median(values) for case, values in figures.items()}
    print(f"\n{'nanoseconds added to one call':62} {'ratio':>6} {'median':>8} {'min':>8} {'max':>8}")
    for case, values in figures.items():
        base = _base_of(case)
        ratio = f"{medians[case] / medians[base]:6.2f}" if base in medians else "      "
        threads = f", {case.threads} threads" if case.threads > 1 else ""
        print(f"{case.title + threads:62} {ratio} {medians[case]:8.0f} {min(values):8.0f} {max(values):8.0f}")
    for title, ours, base in COMPARISONS:
        if ours in medians and base in medians:
            print(f"{title:62} {medians[ours] / medians[base]:6.2f}")


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


def _base_of(case: Case) -> Case:
    """Return the case that ratios are to: the generic wrapper, called and measured as this case is."""
    if case.name in {"asgi", "wsgi", GENERIC_BRIEFLY}:
        return Case(GENERIC_BRIEFLY)
    return Case(GENERIC_ASYNC if case.name in VARIANTS and VARIANTS[case.name].is_async else GENERIC)


def _is_installed(name: str) -> bool:
    if name in SPECIAL:
        return name != "cpu-numpy" or find_spec("numpy") is not None
    package = VARIANTS[name].package
    return package is None or find_spec(package.partition(".")[0]) is not None


def _measure(case: Case, environ: dict[str, str]) -> float:
    with TemporaryDirectory() as directory:
        if case.name in VARIANTS and VARIANTS[case.name].multiprocess:
            environ = {**environ, "PROMETHEUS_MULTIPROC_DIR": directory}
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.client_process", case.name, f"--threads={case.threads}"],
            env=environ,
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        )
    nanoseconds: float = json.loads(done.stdout)["ns"]
    return nanoseconds


if __name__ == "__main__":
    main()
