"""The entry point: find the command, run it, and turn what went wrong into one line and an exit code.

0 done, 1 failed, 2 usage or settings.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Any, Final

from chronoprof_sidecar import __version__
from chronoprof_sidecar.cli import (
    check,
    compare,
    data,
    demo,
    history,
    imports,
    keys,
    merge,
    plot,
    reset,
    run,
    save,
    saves,
    send,
    senders,
    serve,
    top,
)
from chronoprof_sidecar.cli.command import Command
from chronoprof_sidecar.cli.text import harmless
from chronoprof_sidecar.cli.transport import RefusedError
from chronoprof_sidecar.errors import ChronoprofError, SettingsError

COMMANDS: Final[tuple[Command, ...]] = (
    serve,
    keys,
    demo,
    run,
    top,
    data,
    history,
    compare,
    merge,
    plot,
    reset,
    save,
    saves,
    imports,
    senders,
    send,
    check,
)
DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130
"""As shells report a death by SIGINT."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv`, which defaults to the arguments of the process, and return its exit code.

    Raises:
        SystemExit: as argparse does: 2 for wrong usage, 0 after `--help` and `--version`.
    """
    args = build_parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets its escape, not a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    run: Callable[[argparse.Namespace], int] = args.run
    try:
        code = run(args)
        sys.stdout.flush()
    except ChronoprofError as error:
        print(f"chronoprof: {harmless(str(error))}", file=sys.stderr)
        return USAGE if _is_wrong_usage(error) else FAILED
    except BrokenPipeError:
        # The reader, `head` say, has had enough. What is still buffered must not fail again at exit: the recipe of
        # Python's documentation of the module signal, "Note on SIGPIPE".
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _is_wrong_usage(error: ChronoprofError) -> bool:
    return isinstance(error, SettingsError) or (isinstance(error, RefusedError) and error.is_wrong_usage)


class _Parser(argparse.ArgumentParser):
    """Takes no abbreviated flags, and neither do its subparsers, which argparse makes of the same class."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        # A span such as -1d..now is no flag, and none of ours begins with a digit.
        self._negative_number_matcher = re.compile(r"-\d")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(
        prog="chronoprof",
        description="Exact, durable call timings of a Python web service.",
        epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or settings.",
    )
    parser.add_argument("--version", action="version", version=f"chronoprof {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser
