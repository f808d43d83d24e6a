"""`chronoprof run`: instrument a command without touching its code."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Final

from chronoprof_sidecar.cli.command import Subparsers
from chronoprof_sidecar.cli.text import harmless
from chronoprof_sidecar.client.autostart import DIRECTORY
from chronoprof_sidecar.client.family import ROOT_VARIABLE
from chronoprof_sidecar.client.patterns import (
    INSTRUMENT,
    MIDDLEWARE,
    parse_app_path,
    parse_function_pattern,
    parse_list,
)
from chronoprof_sidecar.errors import SettingsError

CANNOT_RUN: Final = 126
NOT_FOUND: Final = 127
"""As shells report a command that is no program, and one that does not exist."""

_CHECKS: Final[tuple[tuple[str, Callable[[str], object]], ...]] = (
    (INSTRUMENT, parse_function_pattern),
    (MIDDLEWARE, parse_app_path),
)


def add_parser(subparsers: Subparsers) -> None:
    """Register `run`."""
    parser = subparsers.add_parser(
        "run",
        help="run a command with its functions timed, without touching its code",
        description="Run a command, and time functions and endpoints in every Python process of it. Profiling is on "
        "unless ENABLE_PROFILING says otherwise; the other settings are those of any app. Flags win over the "
        "environment (the name in brackets). Example: "
        "chronoprof run --instrument 'shop.services:*' --middleware shop:app -- gunicorn shop:app",
    )
    parser.add_argument(
        "--instrument",
        action="append",
        metavar="MODULE:NAME",
        help=f"time these functions; both parts are globs, and may be given again [{INSTRUMENT}, comma separated]",
    )
    parser.add_argument(
        "--middleware",
        action="append",
        metavar="MODULE:APP",
        help=f"time the endpoints of this app, or of what a function makes [{MIDDLEWARE}, comma separated]",
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="what to run")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become the command; return an exit code only where that fails."""
    command: list[str] = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise SettingsError("run: a command is needed, such as `chronoprof run --instrument 'shop:*' -- gunicorn shop`")
    environ = app_environ(os.environ, args.instrument, args.middleware)
    sys.stdout.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and a command would inherit that
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environ)  # noqa: S606 - that is what the user asks for
    except (FileNotFoundError, NotADirectoryError):
        return _fail(f"{command[0]}: command not found", NOT_FOUND)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return _fail(f"{command[0]}: {reason}", CANNOT_RUN)


def app_environ(
    environ: Mapping[str, str], instrument: list[str] | None, middleware: list[str] | None
) -> dict[str, str]:
    """Return the environment in which every Python process instruments itself; the app keeps its own PYTHONPATH.

    Raises:
        SettingsError: a pattern or an app is malformed.
    """
    made = {"ENABLE_PROFILING": "true", **environ}
    made |= {name: ",".join(given) for (name, _), given in zip(_CHECKS, (instrument, middleware), strict=True) if given}
    for name, parse in _CHECKS:
        parse_list(made, name, parse)
    directories = [entry for entry in environ.get("PYTHONPATH", "").split(os.pathsep) if entry != str(DIRECTORY)]
    made["PYTHONPATH"] = os.pathsep.join([str(DIRECTORY), *directories] if any(directories) else [str(DIRECTORY)])
    made.pop(ROOT_VARIABLE, None)  # what complains of patterns is this command's first process
    return made


def _fail(message: str, code: int) -> int:
    print(f"chronoprof: {harmless(message)}", file=sys.stderr)
    return code
