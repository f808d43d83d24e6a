"""What every command module shares: its registration, and how it asks a sidecar and prints the answer."""

import argparse
import os
from typing import Protocol

from chronoprof_sidecar.cli.target import add_target_options, find_target
from chronoprof_sidecar.cli.transport import Sidecar


class Subparsers(Protocol):
    """What `ArgumentParser.add_subparsers()` returns, as far as a command module needs it."""

    def add_parser(self, name: str, *, help: str, description: str) -> argparse.ArgumentParser:  # noqa: A002
        """Add the parser of one command."""


class Command(Protocol):
    """A command module."""

    def add_parser(self, subparsers: Subparsers) -> None:
        """Register the command; its parser sets `run`, a function from the arguments to the exit code."""


def add_asking_command(
    subparsers: Subparsers, name: str, summary: str, description: str = ""
) -> argparse.ArgumentParser:
    """Add the parser of a command that asks a sidecar."""
    parser = subparsers.add_parser(name, help=summary, description=f"{summary}. {description}".strip())
    parser.add_argument("--json", action="store_true", help="print the answer of the sidecar as it came")
    add_target_options(parser)
    return parser


def add_match_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses functions, in both of its spellings."""
    parser.add_argument("--match", "--only", metavar="GLOB", help="functions whose name matches, such as 'GET /api/*'")


def ask(args: argparse.Namespace) -> Sidecar:
    """Return the sidecar that arguments, environment and `.env` name."""
    return Sidecar(find_target(args, os.environ))
