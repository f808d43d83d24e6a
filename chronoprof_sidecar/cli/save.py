"""`chronoprof save` and `chronoprof rotate`: keep the current window in a file on the server."""

import argparse
from typing import Final

from chronoprof_sidecar.cli.command import Subparsers, add_asking_command, ask
from chronoprof_sidecar.cli.text import format_count, format_text
from chronoprof_sidecar.protocol import ROTATE_PATH, SAVE_PATH

WHERE: Final = "The file lands in the save directory of the sidecar, not here."


def add_parser(subparsers: Subparsers) -> None:
    """Register `save` and `rotate`."""
    save = add_asking_command(subparsers, "save", "save the current window to a file", WHERE)
    save.add_argument("file", nargs="?", metavar="NAME", help="plain name, .json or .csv (default: the time)")
    save.add_argument("--no-overwrite", action="store_true", help="fail if a file of that name exists")
    save.set_defaults(run=run_save)
    rotate = add_asking_command(subparsers, "rotate", "save the current window and begin a new one, in one step", WHERE)
    rotate.add_argument("file", nargs="?", metavar="NAME", help="plain name, .json (default: the time)")
    rotate.add_argument("--generation", type=int, metavar="N", help="only if N is still the current generation")
    rotate.set_defaults(run=run_rotate)


def run_save(args: argparse.Namespace) -> int:
    """Save, and print what the sidecar says of it."""
    overwrite = "false" if args.no_overwrite else None
    answer = ask(args).post(SAVE_PATH, {"file_path": args.file, "overwrite": overwrite})
    print(answer.text if args.json else format_text(answer.report().get("message")))
    return 0


def run_rotate(args: argparse.Namespace) -> int:
    """Rotate, and print what the sidecar says of it and the new generation."""
    answer = ask(args).post(ROTATE_PATH, {"file_path": args.file, "generation": args.generation})
    if args.json:
        print(answer.text)
        return 0
    report = answer.report()
    print(format_text(report.get("message")))
    print(f"The new window is generation {format_count(report.get('generation'))}.")
    return 0
