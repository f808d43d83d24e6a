"""`chronoprof check`: whether a sidecar would start here, and whether the one at the URL answers."""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from chronoprof_sidecar.auth import Role, load_keyring
from chronoprof_sidecar.cli.command import Subparsers
from chronoprof_sidecar.cli.extras import needs_extra
from chronoprof_sidecar.cli.serve import add_setting_flags, given_flags
from chronoprof_sidecar.cli.target import Target, add_target_options, find_target
from chronoprof_sidecar.cli.text import harmless
from chronoprof_sidecar.cli.transport import RefusedError, Sidecar
from chronoprof_sidecar.errors import ChronoprofError
from chronoprof_sidecar.protocol import DATA_PATH
from chronoprof_sidecar.setting_values import EMBEDDED
from chronoprof_sidecar.settings import Settings, environment_warnings, load_settings

READY_PATH: Final = "/health/ready"


class UnwritableError(ChronoprofError):
    """A directory of the sidecar cannot be written."""

    code = "unwritable"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    ok: bool
    detail: str


def add_parser(subparsers: Subparsers) -> None:
    """Register `check`."""
    parser = subparsers.add_parser(
        "check",
        help="check settings, keys, directories or database, and whether the sidecar answers",
        description="Check what `serve` would start with, given the same flags, and ask the sidecar at the URL.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--env-file", type=Path, metavar="PATH", help="settings file (default: ./.env if it exists)")
    add_target_options(parser)
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run all checks, print what each found, and return 1 if any failed."""
    findings = [*_check_here(args), *_check_there(args)]
    if args.json:
        print(json.dumps({"checks": [asdict(finding) for finding in findings]}, indent=2))
    else:
        for finding in findings:
            print(f"{'ok' if finding.ok else 'FAILED':8}{finding.name:16}{harmless(finding.detail)}")
    return 0 if all(finding.ok for finding in findings) else 1


def _check_here(args: argparse.Namespace) -> Iterator[Finding]:
    """Check what the sidecar would start with."""
    try:
        settings = load_settings(os.environ, given_flags(args), args.env_file)
    except ChronoprofError as error:
        yield Finding("settings", ok=False, detail=str(error))
        return
    warnings = list(environment_warnings(os.environ))
    yield Finding("settings", ok=True, detail="; ".join(warnings) or "all understood")
    yield _find("keys", lambda: _describe_keys(settings))
    if settings.store != EMBEDDED:
        yield _find("database", lambda: _look_at_database(settings.store))
        return
    yield _find("data directory", lambda: _try_writing(settings.data_dir))
    yield _find("save directory", lambda: _try_writing(settings.save_dir))


def _check_there(args: argparse.Namespace) -> Iterator[Finding]:
    """Check the sidecar at the URL."""
    try:
        target = find_target(args, os.environ)
        sidecar = Sidecar(target)
    except ChronoprofError as error:
        yield Finding("sidecar", ok=False, detail=str(error))
        return
    reached = _find("sidecar", lambda: _describe_readiness(sidecar, target))
    yield reached
    if reached.ok:
        yield _find("api key", lambda: _describe_access(sidecar, target))


def _find(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, ok=True, detail=check())
    except ChronoprofError as error:
        return Finding(name, ok=False, detail=str(error))


def _describe_keys(settings: Settings) -> str:
    keyring = load_keyring(settings)
    return ", ".join(f"{keyring.count(role)} {role}" for role in Role)


def _look_at_database(dsn: str) -> str:
    with needs_extra("server,fleet", "check"):
        from chronoprof_sidecar.store.postgresql.looking import describe_database  # noqa: PLC0415 -- optional
    return asyncio.run(describe_database(dsn))


def _try_writing(directory: Path) -> str:
    """Write a file in `directory`, or where it would be made.

    Raises:
        UnwritableError: that failed.
    """
    place = next(each for each in (directory, *directory.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"chronoprof check")
    except OSError as error:
        raise UnwritableError(f"{place} cannot be written: {error.strerror}") from error
    return f"{directory} can be written" if place == directory else f"{directory} can be made"


def _describe_readiness(sidecar: Sidecar, target: Target) -> str:
    sidecar.get(READY_PATH, with_key=False)
    return f"{target.url} is ready"


def _describe_access(sidecar: Sidecar, target: Target) -> str:
    """Ask for something that needs the read role; a refusal of the role still proves that the key is known."""
    try:
        sidecar.get(DATA_PATH, {"limit": 1})
    except RefusedError as error:
        if error.status == 403:
            return f"known, may only send timings (from {target.key_source})"
        raise
    return f"known, may look (from {target.key_source})"
