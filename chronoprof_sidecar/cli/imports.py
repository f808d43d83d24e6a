"""`chronoprof import`: save files, and what a sidecar keeps in its data directory, into the database of a fleet."""

import argparse
import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from chronoprof_sidecar.cli.command import Subparsers
from chronoprof_sidecar.cli.extras import needs_extra
from chronoprof_sidecar.cli.text import count_of, harmless
from chronoprof_sidecar.cli.windows import parse_save, read_file
from chronoprof_sidecar.domain.windows import EXPORT_ENDING
from chronoprof_sidecar.errors import MalformedRequestError, SettingsError
from chronoprof_sidecar.setting_values import EMBEDDED
from chronoprof_sidecar.settings import Settings, load_settings
from chronoprof_sidecar.store.holdings import HeldSave
from chronoprof_sidecar.store.save_rules import check_save_name

if TYPE_CHECKING:
    from chronoprof_sidecar.store.postgresql.importing import Imported

EXTRAS = "server,fleet"


def add_parser(subparsers: Subparsers) -> None:
    """Register `import`."""
    parser = subparsers.add_parser(
        "import",
        help="bring saves and an embedded store into the database of a fleet",
        description="Bring save files, and all that a stopped sidecar keeps in its data directory (window, history,"
        " senders, saves), into the database of CHRONOPROF_STORE: all of it or nothing, and never twice.",
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="SAVE", help="a .json or .csv save; keeps its name")
    parser.add_argument("--data-dir", metavar="DIR", help="the data directory of a sidecar that was stopped")
    parser.add_argument("--env-file", type=Path, metavar="PATH", help="settings file (default: ./.env if it exists)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Import, and say what is new in the database and what was there already."""
    if not args.files and args.data_dir is None:
        raise SettingsError("nothing to import: name save files, or a data directory with --data-dir")
    flags = {} if args.data_dir is None else {"data_dir": args.data_dir}
    settings = load_settings(os.environ, flags, args.env_file)
    if settings.store == EMBEDDED:
        raise SettingsError("CHRONOPROF_STORE names no database to import into: postgresql://user@host/database")
    with needs_extra(EXTRAS, "import"):
        from chronoprof_sidecar.store.embedded.handover import hold  # noqa: PLC0415 -- third-party packages
        from chronoprof_sidecar.store.postgresql.importing import import_into  # noqa: PLC0415 -- the same
    now_ns = time.time_ns()
    with nullcontext() if args.data_dir is None else hold(settings, now_ns) as holdings:
        done = asyncio.run(import_into(settings, _read_saves(args.files), holdings, now_ns))
    for line in _describe(done, settings, with_store=holdings is not None):
        print(harmless(line))
    return 0


def _read_saves(paths: Sequence[Path]) -> Iterator[HeldSave]:
    from chronoprof_sidecar.wire.saves import is_csv_save  # noqa: PLC0415 -- third-party packages

    for path in paths:
        try:
            check_save_name(path.name)
        except MalformedRequestError as error:
            raise MalformedRequestError(f"{path} cannot be a save: {error}") from error
        content = read_file(path)
        if path.suffix != EXPORT_ENDING:
            parse_save(str(path), content)
        elif not is_csv_save(content):
            raise MalformedRequestError(f"{path}: not an export of a window")
        yield HeldSave(path.name, path.stat().st_mtime_ns, content)


def _describe(done: "Imported", settings: Settings, *, with_store: bool) -> Iterator[str]:
    yield from (f"{name}: imported" for name in done.saves)
    yield from (f"{name}: there already, skipped" for name in done.known_saves)
    if done.store:
        counts = (
            count_of(done.rows, "row"),
            f"{count_of(done.minutes, 'minute')} and {count_of(done.hours, 'hour')} of history",
            count_of(done.senders, "sender"),
        )
        yield f"{settings.data_dir}: imported, {', '.join(counts)}"
    elif with_store:
        yield f"{settings.data_dir}: imported before, skipped"
