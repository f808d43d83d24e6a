"""`chronoprof merge`: saves of several hosts and hours as one."""

import argparse
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from chronoprof_sidecar.cli.command import Subparsers
from chronoprof_sidecar.cli.progress import Progress
from chronoprof_sidecar.cli.text import count_of, harmless
from chronoprof_sidecar.cli.windows import parse_save, read_file, write_file
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.windows import merge_windows
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.wire.save_format import encode_compact, write_save
from chronoprof_sidecar.wire.times import format_time


def add_parser(subparsers: Subparsers) -> None:
    """Register `merge`."""
    parser = subparsers.add_parser(
        "merge",
        help="merge save files of several hosts and hours",
        description="Merge save files into one, exactly: as if one sidecar had counted everything in one window.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a save file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the save file to write")
    parser.add_argument("--force", action="store_true", help="overwrite it if it is there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the merged save, and say what is in it."""
    merged = merge_windows(list(_read(args.files)))
    write_file(args.output, write_save(merged, encode_compact), overwrite=args.force)
    counts = f"{count_of(len(args.files), 'save')}, {count_of(len(merged.rows), 'row')}"
    print(f"Wrote {harmless(str(args.output))}: {counts}.")
    return 0


def _read(paths: Sequence[Path]) -> Iterator[Snapshot]:
    """Yield the windows in save files, none of them twice: what a glob matches too often must not count twice."""
    seen: set[bytes] = set()
    files: dict[tuple[int, int], Path] = {}
    with Progress("Reading saves", len(paths)) as progress:
        for path in paths:
            content = read_file(path)
            digest = sha256(content).digest()
            if digest in seen:
                raise MalformedRequestError(f"{path} is a save that was given already")
            seen.add(digest)
            window = parse_save(str(path), content)
            # Of generation 0 are merges and spans: two of one start may well be of two hosts.
            if window.generation:
                _check_new(window, path, files)
            yield window
            progress.advance()


def _check_new(window: Snapshot, path: Path, files: dict[tuple[int, int], Path]) -> None:
    """Note which file holds a window; refuse a window that another holds, as an earlier or a later save of it."""
    other = files.setdefault((window.generation, window.window_start_ns), path)
    if other is not path:
        start = format_time(window.window_start_ns)
        raise MalformedRequestError(
            f"{other} and {path} hold the same window (generation {window.generation}, started {start})"
        )
