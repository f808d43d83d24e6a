"""`chronoprof compare`: what changed, told from noise, and a gate whose exit code a pipeline can trust."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from urllib.parse import quote, unquote

import pytest

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from tests.cli.conftest import Ran, Run, StandIn
from tests.server.schemas import check_schema
from tests.wire.windows import lognormal, save_of

GATE = ("--fail-if", "p95_time > 1.2x")
NAMES = {"GET /recall/{id}": 1e7, "jobs.rebuild_index": 8e8}


def write(
    path: str, factor: float = 1.0, *, calls: int = 2000, seed: int = 1, more: dict[str, list[int]] | None = None
) -> None:
    """Write a save of a release that takes `factor` times as long as others, and of more functions."""
    random = Random(seed)
    rows = {name: lognormal(random, median_ns * factor, calls) for name, median_ns in NAMES.items()}
    Path(path).write_bytes(save_of(rows | (more or {})))


@pytest.fixture(autouse=True)
def saves() -> None:
    """Write a base, an equal release, and a slower one."""
    write("base.json", seed=1)
    write("equal.json", seed=2)
    write("slower.json", 1.3, seed=3)


def test_the_table_shows_ratios_and_what_they_are_worth(run: Run) -> None:
    """One row a function, the change that costs most first; each ratio has a mark, and both windows are described."""
    ran = run("compare", "base.json", "slower.json")
    lines = ran.out.splitlines()
    assert (0, "") == (ran.code, ran.err)
    assert ["FUNCTION", "CALLS", "BASE", "P95", "HEAD", "P95", "P50", "P95", "P99", "AVG"] == lines[0].split()
    assert ["jobs.rebuild_index", "2000"] == lines[1].split()[:2]
    assert lines[1].count("▲") == 4
    assert "1.2" in lines[1] or "1.3" in lines[1]
    assert lines[-3:] == [
        "Functions: 2",
        "Base: file base.json, 1 min from 2025-11-22T23:59:00Z. Complete: nothing was lost",
        "Head: file slower.json, 1 min from 2025-11-22T23:59:00Z. Complete: nothing was lost",
    ]


def test_the_gate_stops_what_is_slower_alone(run: Run) -> None:
    """An equal release passes with 0; a slower one ends with 1 and a line for each function that met a condition."""
    passed, stopped = (
        run("compare", "base.json", "equal.json", *GATE),
        run("compare", "base.json", "slower.json", *GATE),
    )
    assert (0, "Passed: no function met a condition") == (passed.code, passed.out.splitlines()[-1])
    assert stopped.code == 1
    regressed = [line for line in stopped.out.splitlines() if line.startswith("Regressed: ")]
    assert [f"Regressed: {name}: p95_time > 1.2x:" for name in sorted(NAMES, reverse=True)] == [
        line[: line.index("1.2x:") + 5] for line in regressed
    ]
    assert all(re.search(r": \S+ m?s -> \S+ m?s, 1\.\d\dx$", line) for line in regressed)


def test_several_conditions_and_a_glob(run: Run) -> None:
    """Any one of the conditions stops a release; functions that the glob leaves out are not judged."""
    several = ("--fail-if", "p99_time > 10s", "--fail-if", "avg_time > +100ms")
    assert run("compare", "base.json", "slower.json", *several).code == 1
    assert run("compare", "base.json", "slower.json", *several, "--match", "GET *").code == 0
    assert run("compare", "base.json", "slower.json", *GATE, "--only", "GET *").code == 1


def test_a_limit_hides_but_does_not_excuse(run: Run) -> None:
    """What is not shown is judged all the same."""
    ran = run("compare", "base.json", "slower.json", *GATE, "--limit", "1")
    assert "Functions: 1 of 2" in ran.out
    assert ran.out.count("Regressed: ") == 2


def test_too_few_calls_are_said_and_fail_when_asked(run: Run) -> None:
    """Functions that cannot be judged are named; they stop a release with `--fail-on-unknown` alone."""
    write("few.json", 3.0, calls=50)
    ran = run("compare", "base.json", "few.json", *GATE)
    assert (0, False) == (ran.code, "Passed" in ran.out)
    assert "Nothing to judge: too few calls throughout" in ran.out
    assert "Cannot tell: p95_time > 1.2x: too few calls of jobs.rebuild_index, GET /recall/{id}" in ran.out
    assert run("compare", "base.json", "few.json", *GATE, "--fail-on-unknown").code == 1
    assert run("compare", "base.json", "slower.json", *GATE, "--min-calls", "5000").code == 0
    assert run("compare", "base.json", "equal.json", *GATE, "--fail-on-unknown").code == 0


def test_a_gate_that_judges_nothing_does_not_pass(run: Run) -> None:
    """A glob with a typing error in it is a failure, not a release that is fine."""
    ran = run("compare", "base.json", "equal.json", *GATE, "--only", "gte *")
    assert (1, "") == (ran.code, ran.out)
    assert "no function to judge: base.json has no calls of gte *; equal.json has no calls of gte *" in ran.err


def test_a_side_without_calls_fails_the_gate(run: Run) -> None:
    """A file of an app that was never called, or of another app, does not pass; without a gate it is shown."""
    Path("empty.json").write_bytes(save_of({}))
    Path("other.json").write_bytes(save_of({"other": [1000] * 30}))
    for sides, reason in (
        (("empty.json", "base.json"), "empty.json has no calls"),
        (("base.json", "empty.json"), "empty.json has no calls"),
        (("base.json", "other.json"), "each was called on one side alone"),
    ):
        ran = run("compare", *sides, *GATE, "--fail-on-unknown")
        assert (1, f"chronoprof: there is no function to judge: {reason}\n") == (ran.code, ran.err)
        assert run("compare", *sides).code == 0


def test_a_mistyped_version_fails_the_gate(ask: Run, sidecar: StandIn) -> None:
    """The sidecar has an empty window for any version: the gate fails, and says which versions there are."""
    saves = "GET /api/v1/profiling/saves"
    sidecar.answer(f"{saves}/version%3A1.04", save_of({}))
    sidecar.answer(f"{saves}/live", Path("base.json").read_bytes())
    ran = ask("compare", "version:1.04", "base.json", *GATE)
    assert (1, "") == (ran.code, ran.out)
    assert "version:1.04 has no calls (the current window has version:1)" in ran.err


def test_new_and_gone_functions_are_shown(run: Run) -> None:
    """A function of one side alone has its figures there, the calls of both, and the word for it instead of a ratio."""
    write("other.json", seed=4, more={"fresh": [1000] * 30})
    fresh = run("compare", "base.json", "other.json").out
    assert (fresh.count("new"), fresh.count("→"), fresh.count(" 0→30 ")) == (4, 1, 1)
    ran = run("compare", "other.json", "base.json", *GATE)
    assert (0, 5) == (ran.code, ran.out.count("gone"))
    assert ran.out.endswith("\nPassed: no function met a condition\nCalled on one side alone: gone: fresh\n")


def test_json_has_every_figure_and_nothing_else(run: Run) -> None:
    """stdout is one JSON object as `GET compare` answers it, whatever the gate says; that goes to stderr."""
    ran = run("compare", "base.json", "slower.json", *GATE, "--json")
    report = json.loads(ran.out)
    check_schema("Comparison", report)
    assert (1, 2) == (ran.code, report["meta"]["functions"])
    change = report["data"]["jobs.rebuild_index"]
    assert ("slower", 2000) == (change["verdict"]["p95_time"], change["head"]["calls"])
    assert pytest.approx(1.3, rel=0.1) == change["ratio"]["p95_time"]
    assert ran.err.count("Regressed: ") == 2


HOSTILE = ["@everyone", "a|b", "<img src=x onerror=alert(1)>", "`x` **b** [l](http://e.org)", "www.e.org", "f\u202eg"]


def test_markdown_holds_names_that_are_text(run: Run) -> None:
    """A comment has the gate's lines and a table of as many cells as titles; no name is markup, link or mention."""
    write("odd.json", seed=4, more={name: [10**9] * 30 for name in HOSTILE})
    ran = run("compare", "base.json", "odd.json", "--fail-if", "avg_time > 1ms", "--markdown")
    table = [line for line in ran.out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(NAMES) + len(HOSTILE)
    assert {7} == {line.count("|") for line in table}
    assert ran.code == 1
    assert ran.out.startswith("- <code>Regressed")
    bare = re.sub(r"</?code>|&#\d+;", "", ran.out)
    assert not re.search(r"[<>@`*\[\]\u202e]|www\.|http:", bare.replace("->", ""))


def test_hostile_names_are_harmless_on_a_terminal(run: Run) -> None:
    """A name forges no line and steers no terminal, in the table as in what the gate says."""
    write("odd.json", seed=4, more={"f\u202eg\u2028h": [10**9] * 30})
    out = run("compare", "base.json", "odd.json", "--fail-if", "avg_time > 1ms").out
    assert out.replace("\n", "").isprintable()


def test_losses_are_said_per_side(run: Run) -> None:
    """A side from which something is missing says so."""
    Path("lossy.json").write_bytes(save_of({"a": [1000] * 30}, {"shop": Losses(dropped=5)}))
    assert run("compare", "base.json", "lossy.json").out.splitlines()[-1].endswith("Not complete: 5 dropped")


def test_one_service_alone_can_be_compared(run: Run) -> None:
    """`--service` leaves the others out, of the shares, too."""
    key = RowKey("GET /recall/{id}", "till", "1")
    Path("till.json").write_bytes(save_of({key: [1000] * 30}))
    report = json.loads(run("compare", "base.json", "till.json", "--service", "till", "--json").out)
    assert (None, 1.0) == (
        report["data"][key.function_name]["base"],
        report["data"][key.function_name]["head"]["share"],
    )


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["base.json"], 2, "HEAD"),
        (["base.json", "equal.json", "--fail-if", "p95 > 2x"], 2, "no duration 'p95'"),
        (["base.json", "equal.json", "--fail-if", "p95_time > 1.2"], 2, "1.2 has no unit"),
        (["base.json", "equal.json", "--limit", "-1"], 2, "not a whole number: '-1'"),
        (["base.json", "equal.json", "--json", "--markdown"], 2, "not allowed with"),
        (["base.json", "missing.json"], 2, "missing.json is no file here, and no sidecar can be asked for it: no key"),
        (["base.json", "nowhere/missing.json"], 1, "no file nowhere/missing.json"),
        (["base.json", "export.csv"], 1, "export.csv: a .csv file is an export"),
        (["missing.csv", "base.json"], 1, "missing.csv: a .csv file is an export"),
        (["base.json", "broken.json"], 1, "broken.json: not a save"),
    ],
)
def test_what_cannot_be_compared_is_said(run: Run, argv: list[str], code: int, message: str) -> None:
    """Usage and settings are 2, what is missing or no save is 1, and the line names it."""
    Path("export.csv").write_text("function_name,service\r\n")
    Path("broken.json").write_text('{"data": {}}')
    ran = run("compare", *argv)
    assert (code, "") == (ran.code, ran.out)
    assert message in ran.err


def test_what_is_no_file_here_is_asked_for(ask: Run, sidecar: StandIn) -> None:
    """Names of the sidecar's windows are fetched from it, a file here is read here, and both can be compared."""
    path = "/api/v1/profiling/saves/version%3A1.4%2Frc"
    sidecar.answer(f"GET {path}", Path("slower.json").read_bytes())
    assert ask("compare", "base.json", "version:1.4/rc", *GATE).code == 1
    assert ["/api/v1/profiling/saves/version:1.4/rc"] == [unquote(request.target) for request in sidecar.received]
    sidecar.answer("GET /api/v1/profiling/saves/-1d..now", Path("equal.json").read_bytes())
    assert ask("compare", "base.json", "-1d..now", "--service", "shop").code == 0
    assert sidecar.received[-1].target.endswith("/saves/-1d..now?service=shop")
    refused = ask("compare", "base.json", "gone.json")
    assert "gone.json is no file here, and the sidecar has none: 404 not_found" in refused.err


def test_a_sidecar_that_does_not_say_is_not_one_that_has_none(ask: Run, sidecar: StandIn) -> None:
    """A refused key and a sidecar that is away are said as what they are: the window may well be there."""
    sidecar.answer("GET /api/v1/profiling/saves/live", b'{"error":{"code":"forbidden","message":"no"}}', 403)
    refused = ask("compare", "base.json", "live")
    assert (1, True) == (refused.code, refused.err.startswith("chronoprof: 403 forbidden: no"))
    away = ask("compare", "base.json", "live", "--url", "unix:///nowhere")
    assert (1, True) == (away.code, away.err.startswith("chronoprof: no answer from unix:///nowhere"))


@pytest.mark.parametrize("name", ["live", "version:1.4", "-1d..now"])
def test_a_file_does_not_stand_for_a_window_of_the_sidecar(ask: Run, sidecar: StandIn, name: str) -> None:
    """A file that is called like one is not read in its place, and each side says where it is from."""
    Path(name).write_bytes(Path("base.json").read_bytes())
    sidecar.answer(f"GET /api/v1/profiling/saves/{quote(name, safe='')}", Path("slower.json").read_bytes())
    ran = ask("compare", "base.json", name, *GATE)
    assert ran.code == 1
    assert "\nBase: file base.json, " in ran.out
    assert f"\nHead: the sidecar's {name}, " in ran.out


def test_files_are_compared_without_any_package() -> None:
    """A pipeline that has two files needs the standard library alone."""
    root = str(Path(__file__).parents[2])
    script = f"import sys; sys.path.insert(0, {root!r}); from chronoprof_sidecar.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-I", "-S", "-B", "-c", script, "compare", "base.json", "slower.json", *GATE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert (1, "") == (ran.code, ran.err)
    assert "Regressed: " in ran.out


def test_rows_fit_eighty_columns() -> None:
    """On a real terminal long names are cut in the middle, so that no line of the table is wider than it."""
    write("long.json", more={"GET /api/v1/" + "very/" * 40 + "long": [123_456_789] * 30})
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "chronoprof_sidecar", "compare", "base.json", "long.json"]
    subprocess.run(command, stdout=theirs, env=os.environ | {"COLUMNS": "80"}, check=True, timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "…" in shown
    assert max(len(line.rstrip()) for line in shown.splitlines()[:5]) <= 80
