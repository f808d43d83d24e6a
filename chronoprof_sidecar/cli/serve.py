"""`chronoprof serve`: run the sidecar."""

import argparse
import logging
import os
from pathlib import Path

from chronoprof_sidecar.cli.command import Subparsers
from chronoprof_sidecar.cli.extras import needs_extra
from chronoprof_sidecar.cli.logs import configure_logging
from chronoprof_sidecar.settings import SPECS, environment_warnings, load_settings

logger = logging.getLogger(__name__)


def add_parser(subparsers: Subparsers) -> None:
    """Register `serve`, with a flag for every setting that is no key."""
    parser = subparsers.add_parser(
        "serve",
        help="run the sidecar",
        description="Run the sidecar until SIGTERM or SIGINT. Flags win over the environment (the name in brackets), "
        "the environment over the settings file.",
    )
    parser.add_argument("--env-file", type=Path, metavar="PATH", help="settings file (default: ./.env if it exists)")
    add_setting_flags(parser)
    parser.set_defaults(run=run)


def add_setting_flags(parser: argparse.ArgumentParser) -> None:
    """Add a flag for every setting but the keys, which `ps` would show."""
    for spec in SPECS:
        if not spec.secret:
            default = f"; default: {spec.default}" if spec.default else ""
            text = f"{spec.description} [{spec.name}] ({spec.unit}{default})"
            parser.add_argument(spec.flag, dest=spec.field, metavar="VALUE", help=text.replace("%", "%%"))


def given_flags(args: argparse.Namespace) -> dict[str, str]:
    """Return the settings that were given as flags, as `load_settings` takes them."""
    return {spec.field: text for spec in SPECS if (text := getattr(args, spec.field, None)) is not None}


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop, and return the exit code of the server."""
    settings = load_settings(os.environ, given_flags(args), args.env_file)
    configure_logging(settings.log_level, settings.log_format)
    for warning in environment_warnings(os.environ):
        logger.warning("%s", warning)
    with needs_extra("server", "serve"):
        from chronoprof_sidecar.server.app import serve  # noqa: PLC0415 -- the only command with third-party packages
    return serve(settings)
