"""`chronoprof run`: a command instruments itself, in every Python process of it, and is otherwise what it was."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chronoprof_sidecar.cli.main import build_parser
from chronoprof_sidecar.cli.run import app_environ
from chronoprof_sidecar.client.autostart import DIRECTORY
from chronoprof_sidecar.client.family import ROOT_VARIABLE
from tests.cli.conftest import Ran, Run

SHOP = {
    "shop/__init__.py": "",
    "shop/services.py": """
        NUMBER = 3

        def pay():
            return load()

        def load():
            return NUMBER

        class Repo:
            def read(self):
                return load()
    """,
    "shop/web.py": """
        from shop.services import pay

        def app(environ, start_response):
            return []

        def create_app():
            return app
    """,
}
IMPORT = "import shop.services, shop.web"
ARE_TIMED = """
import json, sys
from chronoprof_sidecar.client.instrument import is_timed
from shop import services, web
names = {"pay": web.pay, "load": services.load, "Repo.read": services.Repo.read}
print(json.dumps([name for name, function in names.items() if is_timed(function)]))
"""


class Shop:
    """A small app in the working directory, run by `chronoprof run`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.temporary = directory / "temporary"
        self.temporary.mkdir()
        for name, text in SHOP.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Put a file there; the text may be indented."""
        file = self.directory / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()))

    def run(self, *arguments: str, **environ: str) -> Ran:
        """Run `chronoprof run`."""
        return self.execute(sys.executable, "-m", "chronoprof_sidecar", "run", *arguments, **environ)

    def execute(self, *command: str, **environ: str) -> Ran:
        """Run a command in the app's directory."""
        result = subprocess.run(
            command,
            env={**os.environ, "CHRONOPROF_API_KEY": "k" * 16, **environ, "TMPDIR": str(self.temporary)},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(result.returncode, result.stdout, result.stderr)

    def python(self, code: str, *flags: str, **environ: str) -> Ran:
        """Run Python in the environment that `chronoprof run` makes, which spares its own start."""
        args = build_parser().parse_args(["run", *flags])
        made = app_environ({**os.environ, **environ}, args.instrument, args.middleware)
        ran = self.execute(sys.executable, "-c", code, **made)
        assert [] == list(self.temporary.iterdir())
        return ran


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A small app."""
    return Shop(tmp_path)


@pytest.fixture(autouse=True)
def no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start from an environment without a PYTHONPATH of its own."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.delenv("ENABLE_PROFILING", raising=False)


# --- what is timed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patterns", "timed"),
    [
        (["shop.services:*"], ["pay", "load", "Repo.read"]),
        (["shop.services:Repo.*"], ["Repo.read"]),
        (["shop.services:l*", "shop.*:p*"], ["pay", "load"]),
        (["shop.services:pay,shop.services:load"], ["pay", "load"]),
    ],
)
def test_named_functions_are_timed_as_their_modules_are_imported(
    shop: Shop, patterns: list[str], timed: list[str]
) -> None:
    """Also where another module took them at its own import; the command needs to know nothing of it."""
    ran = shop.python(ARE_TIMED, *[f"--instrument={pattern}" for pattern in patterns])

    assert (0, "") == (ran.code, ran.err)
    assert timed == json.loads(ran.out)


@pytest.mark.parametrize("flags", [[], ["--"]])
def test_the_environment_does_what_flags_do(shop: Shop, flags: list[str]) -> None:
    """What a service's environment file says needs no flag; the dashes are needed only where flags precede."""
    command = [*flags, sys.executable, "-c", ARE_TIMED]
    ran = shop.run(*command, CHRONOPROF_INSTRUMENT="shop.services:load , shop.services:Repo.read")

    assert (0, "") == (ran.code, ran.err)
    assert ["load", "Repo.read"] == json.loads(ran.out)


def test_flags_win_over_the_environment(shop: Shop) -> None:
    """As with every other command."""
    ran = shop.python(ARE_TIMED, "--instrument", "shop.services:pay", CHRONOPROF_INSTRUMENT="shop.services:load")

    assert ["pay"] == json.loads(ran.out)


def test_the_directory_on_pythonpath_is_all_that_it_takes(shop: Shop) -> None:
    """Where the command itself cannot be changed, its environment can."""
    environ = {"ENABLE_PROFILING": "1", "PYTHONPATH": str(DIRECTORY), "CHRONOPROF_INSTRUMENT": "shop.services:pay"}

    ran = shop.execute(sys.executable, "-c", ARE_TIMED, **environ)

    assert (0, "") == (ran.code, ran.err)
    assert ["pay"] == json.loads(ran.out)


def test_a_process_instruments_itself_once(shop: Shop) -> None:
    """Whatever else runs the start again, such as the `sitecustomize` of another tool that looks for a hidden one."""
    code = "import sys; from chronoprof_sidecar.client import autostart; autostart.start(); print(sys.meta_path)"

    assert 1 == shop.python(f"{IMPORT}; {code}", "--instrument=shop.services:pay").out.count(".ImportWatch ")


def test_profiling_stays_off_where_it_is_switched_off(shop: Shop) -> None:
    """Nothing is timed, nothing said, and of chronoprof nothing but the start of it is imported."""
    code = "import sys; print([name for name in sys.modules if name.endswith(('.engine', '.imports'))])"
    off = shop.python(f"{IMPORT}\n{ARE_TIMED}", "--instrument=shop.services:*", ENABLE_PROFILING="false")

    assert (0, "", []) == (off.code, off.err, json.loads(off.out))
    ran = shop.python(code, "--instrument=shop:absent", ENABLE_PROFILING="off")
    assert "engine" not in ran.out


def test_a_bad_setting_of_the_shim_is_said_once_and_breaks_nothing(shop: Shop) -> None:
    """The shim's own warning is enough: patterns that time nothing for that reason are not complained of, too."""
    ran = shop.python(ARE_TIMED, "--instrument=shop.services:*", "--instrument=shop:absent", CHRONOPROF_API_KEY="")

    assert (0, []) == (ran.code, json.loads(ran.out))
    assert 1 == len(ran.err.splitlines())
    assert ran.err.startswith("profiling stays off: CHRONOPROF_API_KEY")


# --- what comes to nothing is said ----------------------------------------------------------------------------------

NEVER_IMPORTED = "chronoprof: instrument 'shop.servces:pay': matched nothing, shop.servces was never imported\n"
NOTHING_THERE = "chronoprof: instrument 'shop.services:pya': no function of shop.services has such a name\n"


WITHOUT_RESULT = {
    "--instrument=shop.services:pya": NOTHING_THERE,
    "--middleware=shop.services:Repo": (
        "chronoprof: middleware 'shop.services:Repo': a type is no app that a middleware is known for\n"
    ),
    "--middleware=shop.web:ap": "chronoprof: middleware 'shop.web:ap': shop.web has no ap\n",
    # and at the end, in the order in which they were given, instruments first:
    "--instrument=shop.servces:pay": NEVER_IMPORTED,
    "--instrument=shop.*:pya": (
        "chronoprof: instrument 'shop.*:pya': matched nothing in any module that was imported\n"
    ),
    "--middleware=shop.web:create_app()": (
        "chronoprof: middleware 'shop.web:create_app()': no app came from there, shop.web was never imported, "
        "or what makes the app never called\n"
    ),
}
"""Flags, and what is said of each."""


def test_what_matches_nothing_is_said_in_one_line(shop: Shop) -> None:
    """Each line names what was asked for, and the command does its work."""
    ran = shop.python(f"{IMPORT}; print('done')", *WITHOUT_RESULT, "--instrument=shop.services:pay")

    assert (0, "done\n", "".join(WITHOUT_RESULT.values())) == (ran.code, ran.out, ran.err)


CHILDREN = {
    "fork": """
import os
for _ in range(2):
    pid = os.fork()
    if not pid:
        break
    os.waitpid(pid, 0)
if not pid:
    {then}
""",
    "subprocess": """
import subprocess, sys
for _ in range(2):
    subprocess.run([sys.executable, "-c", {then!r}])
""",
    "spawn": """
import multiprocessing
if __name__ == "__main__":
    for _ in range(2):
        child = multiprocessing.get_context("spawn").Process(target=exec, args=({then!r},))
        child.start()
        child.join()
""",
}


@pytest.mark.parametrize("kind", CHILDREN)
def test_a_server_and_its_workers_speak_with_one_voice(shop: Shop, kind: str) -> None:
    """Where children alone import the app, it is said once what matched nothing in any of them, and that alone."""
    code = CHILDREN[kind].format(then=IMPORT)
    patterns = ["shop.services:pay", "shop.services:pya", "shop.servces:pay"]

    ran = shop.python(code, *[f"--instrument={pattern}" for pattern in patterns])

    assert (0, NOTHING_THERE + NEVER_IMPORTED) == (ran.code, ran.err)


def test_a_malformed_pattern_in_the_environment_alone_is_said_and_the_others_hold(shop: Shop) -> None:
    """Without `run`, which would refuse it, it must not break the app."""
    environ = {"ENABLE_PROFILING": "1", "PYTHONPATH": str(DIRECTORY), "CHRONOPROF_INSTRUMENT": "x,shop.services:pay"}

    ran = shop.execute(sys.executable, "-c", ARE_TIMED, **environ)

    assert ["pay"] == json.loads(ran.out)
    assert ran.err.startswith("chronoprof: instrument 'x': expected MODULE:NAME")
    assert 1 == len(ran.err.splitlines())


def test_a_python_without_chronoprof_starts_all_the_same(shop: Shop) -> None:
    """It says in one line that nothing is instrumented."""
    code = "import shop.services; print(shop.services.pay())"

    bare = shop.run("--instrument=shop.services:*", sys._base_executable, "-c", code)  # type: ignore[attr-defined]

    assert (0, "3\n") == (bare.code, bare.out)
    assert bare.err.startswith("chronoprof: nothing is instrumented: ModuleNotFoundError: ")
    assert 1 == len(bare.err.splitlines())


# --- nothing else changes -------------------------------------------------------------------------------------------


def test_the_sitecustomize_of_the_app_runs_as_before(shop: Shop) -> None:
    """It stands on the app's own PYTHONPATH, is the module of that name, and so is its `usercustomize`."""
    own = shop.directory / "own"
    shop.write("own/sitecustomize.py", "import sys; sys.flags_seen = ['site']; HERE = 1")
    shop.write("own/usercustomize.py", "import sys; sys.flags_seen.append('user')")
    code = "import sys, sitecustomize, json; print(json.dumps([sys.flags_seen, sitecustomize.HERE, sys.path[1]]))"

    ran = shop.python(f"{IMPORT}; {code}", "--instrument=shop.services:*", PYTHONPATH="own", PYTHONNOUSERSITE="")

    assert (0, "") == (ran.code, ran.err)
    flags, here, second = json.loads(ran.out)
    assert (["site"], 1, str(own)) == (flags[:1], here, second)


def test_a_sitecustomize_that_fails_is_told_of_as_before(shop: Shop) -> None:
    """By Python itself, in the words that it has for that; the app starts."""
    shop.write("own/sitecustomize.py", "raise LookupError('broken')")

    code = "import shop.services; print('done')"

    ran = shop.python(code, "--instrument=shop.services:pay", PYTHONPATH="own")
    plain = shop.execute(sys.executable, "-c", code, PYTHONPATH="own")

    assert "LookupError: broken" in plain.err
    assert (plain.code, plain.out, plain.err) == (ran.code, ran.out, ran.err)


def test_scripts_and_modules_run_as_before(shop: Shop) -> None:
    """`python FILE` and `python -m` find what they import, and an exit code is the command's own."""
    shop.write("script.py", "import sys, shop.services; sys.exit(shop.services.NUMBER)")
    shop.write("shop/__main__.py", "import sys, shop.services; sys.exit(shop.services.NUMBER + 1)")

    file = shop.run("--instrument=shop.services:*", sys.executable, "script.py")
    module = shop.run("--instrument=shop.services:*", sys.executable, "-m", "shop")

    assert [3, 4] == [file.code, module.code]


def test_a_command_gets_its_arguments_as_they_are(shop: Shop) -> None:
    """Dashes included, and it is looked for on PATH."""
    ran = shop.run("--instrument=shop:pay", "--", "printf", "%s\n", "--help", "--", "--instrument=x")

    assert (0, "--help\n--\n--instrument=x\n") == (ran.code, ran.out)


def test_signals_that_python_ignores_reach_the_command(shop: Shop) -> None:
    """A command in a pipe ends when nobody reads it."""
    ran = shop.run("--instrument=shop:pay", "sh", "-c", "kill -PIPE $$; echo survived")

    assert (-13, "") == (ran.code, ran.out)


# --- the environment ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, [str(DIRECTORY)]),
        ("", [str(DIRECTORY)]),
        ("/app", [str(DIRECTORY), "/app"]),
        (f"/app{os.pathsep}", [str(DIRECTORY), "/app", ""]),
        (os.pathsep.join([str(DIRECTORY), "/app"]), [str(DIRECTORY), "/app"]),
    ],
)
def test_the_pythonpath_of_the_app_is_kept(before: str | None, after: list[str]) -> None:
    """Behind our one directory, which comes once, whatever runs within what."""
    environ = {} if before is None else {"PYTHONPATH": before}

    assert after == app_environ(environ, None, None)["PYTHONPATH"].split(os.pathsep)


def test_everything_else_in_the_environment_is_kept() -> None:
    """Profiling is on unless somebody said otherwise, and what belongs to an outer family of processes is gone."""
    environ = {"HOME": "/home/shop", ROOT_VARIABLE: "1-token"}

    made = app_environ(environ, ["shop:a", "shop:b"], ["shop:app"])

    assert made == {
        "HOME": "/home/shop",
        "ENABLE_PROFILING": "true",
        "CHRONOPROF_INSTRUMENT": "shop:a,shop:b",
        "CHRONOPROF_MIDDLEWARE": "shop:app",
        "PYTHONPATH": str(DIRECTORY),
    }
    assert "no" == app_environ({"ENABLE_PROFILING": "no"}, None, None)["ENABLE_PROFILING"]


# --- wrong usage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--instrument", "nonsense", "--", "true"], "instrument 'nonsense': expected MODULE:NAME"),
        (["--instrument", "shop:a,b", "--", "true"], "instrument 'b': expected MODULE:NAME"),
        (["--middleware", "shop", "--", "true"], "middleware 'shop': expected MODULE:APP"),
        (["--instrument", "shop:a"], "a command is needed"),
        (["--instrument", "shop:a", "--"], "a command is needed"),
    ],
)
def test_wrong_usage_is_two(run: Run, argv: list[str], said: str) -> None:
    """One line says what is wrong, before anything runs."""
    ran = run("run", *argv)

    assert 2 == ran.code
    assert said in ran.err
    assert 1 == len(ran.err.splitlines())


def test_a_malformed_variable_is_refused_like_a_flag(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts the service learns of it at once."""
    monkeypatch.setenv("CHRONOPROF_MIDDLEWARE", "shop")

    assert 2 == run("run", "true").code


def test_a_command_that_cannot_run_ends_as_in_a_shell(shop: Shop) -> None:
    """127 where there is none, 126 where it is no program; one line names it."""
    no_program = shop.directory / "no-program"
    no_program.write_text("text")
    no_program.chmod(stat.S_IRUSR)

    missing = shop.run("--instrument=shop:a", "no-such-command")
    refused = shop.run("--instrument=shop:a", str(no_program))

    assert (127, "chronoprof: no-such-command: command not found\n") == (missing.code, missing.err)
    assert (126, f"chronoprof: {no_program}: Permission denied\n") == (refused.code, refused.err)
