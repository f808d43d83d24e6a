"""`chronoprof saves`: the files that the sidecar keeps, and one of them to take along."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, ask
from chronoprof_sidecar.cli.table import Column, render_table, terminal_width
from chronoprof_sidecar.cli.text import format_size, format_text
from chronoprof_sidecar.cli.transport import as_list, as_mapping
from chronoprof_sidecar.cli.windows import write_file
from chronoprof_sidecar.domain.windows import SAVE_ENDING, is_computed
from chronoprof_sidecar.errors import FileExistsConflictError
from chronoprof_sidecar.protocol import SAVES_PATH

COLUMNS: Final = (Column("FILE", numeric=False), Column("SIZE"), Column("WRITTEN"))


def add_parser(subparsers: Subparsers) -> None:
    """Register `saves`."""
    parser = add_asking_command(subparsers, "saves", "list the saved files, or download one")
    parser.add_argument("name", nargs="?", metavar="NAME", help="download this one")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to; never overwritten (default: NAME, here; live.json for live)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one row per file, newest first; or download one."""
    if args.name is not None:
        return _download(args)
    answer = ask(args).get(SAVES_PATH)
    if args.json:
        print(answer.text)
        return 0
    rows = [_format_row(as_mapping(save)) for save in as_list(answer.report().get("saves"))]
    print(render_table(COLUMNS, rows, terminal_width()) if rows else "Nothing has been saved yet.")
    return 0


def _download(args: argparse.Namespace) -> int:
    # A file that is called as the sidecar's own windows are could not be asked for by that name.
    file_name = f"{args.name}{SAVE_ENDING}" if is_computed(args.name) else args.name
    path = args.output or Path(Path(file_name).name)
    if path.exists():
        raise FileExistsConflictError(f"{path} exists and is not overwritten")
    content = ask(args).download(f"{SAVES_PATH}/{quote(args.name, safe='')}", args.name).body
    write_file(path, [content], overwrite=False)
    print(f"Wrote {format_text(str(path))}.")
    return 0


def _format_row(save: Mapping[str, Any]) -> list[str]:
    return [format_text(save.get("name")), format_size(save.get("size_bytes")), format_text(save.get("modified"))]
