"""`chronoprof keys`: make a key for each role."""

import argparse
import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Final

from chronoprof_sidecar.auth import Role, digest_text, generate_key
from chronoprof_sidecar.cli.command import Subparsers
from chronoprof_sidecar.cli.target import KEY_NAME
from chronoprof_sidecar.errors import ChronoprofError
from chronoprof_sidecar.settings import PREFIX

PURPOSES: Final = {
    Role.ADMIN: "may do everything",
    Role.READ: "may look, and nothing else",
    Role.INGEST: "may send timings, and nothing else: for the apps",
}


class KeyFileError(ChronoprofError):
    """The file for the keys cannot be written, or exists."""

    code = "key_file"


def add_parser(subparsers: Subparsers) -> None:
    """Register `keys`."""
    parser = subparsers.add_parser(
        "keys",
        help="make a key for each role",
        description="Make a key for each role. Keys are 256 random bits and stored nowhere unless --write says so; "
        "a server that is given only the digests knows the keys when they come.",
    )
    parser.add_argument("--write", type=Path, metavar="PATH", help="write them to this file, such as .env, mode 0600")
    parser.add_argument("--force", action="store_true", help="replace PATH if it exists, with all that it holds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the keys; print them, or write them and print where."""
    keys = {role: generate_key(role) for role in Role}
    if args.write is not None:
        replaced = _write(args.write, _render_file(keys), force=args.force)
        # Not the keys: what was written with mode 0600 does not belong into the log of a pipeline.
        keys_written = {"path": str(args.write), "replaced": replaced}
        done = "Replaced" if replaced else "Wrote"
        print(json.dumps(keys_written) if args.json else f"{done} {args.write} (mode 0600): a key for each role.")
    elif args.json:
        print(json.dumps({role: {"key": key, "digest": digest_text(key)} for role, key in keys.items()}, indent=2))
    else:
        print("\n".join(f"# {PURPOSES[role]}\n{_line(role, key)}" for role, key in keys.items()))
        print("# The same for a server that shall not hold the keys themselves:")
        print("\n".join(f"# {_line(role, digest_text(key))}" for role, key in keys.items()))
    return 0


def _line(role: Role, key: str) -> str:
    return f"{PREFIX}{role.upper()}_KEYS={key}"


def _render_file(keys: dict[Role, str]) -> str:
    lines = ["# Made by `chronoprof keys`. Whoever can read this file can use the sidecar: never commit it."]
    for role, key in keys.items():
        lines += [f"# {PURPOSES[role]}", _line(role, key)]
    lines += ["# what commands such as `chronoprof data` use in this directory", f"{KEY_NAME}={keys[Role.ADMIN]}"]
    return "\n".join(lines) + "\n"


def _write(path: Path, content: str, *, force: bool) -> bool:
    """Write a file that only its owner can read; return whether it replaced another.

    Raises:
        KeyFileError: it exists and `force` is not set, or it cannot be written.
    """
    replaced = force and os.path.lexists(path)
    # What is replaced stays whole until its successor is.
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}") if replaced else path
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replaced:
            fresh.replace(path)
    except FileExistsError as error:
        raise KeyFileError(f"{path} exists and was left alone; --force replaces it, with all that it holds") from error
    except OSError as error:
        # Exclusive creation succeeded or nothing was made, so this removes no file of anybody else.
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from error
    return replaced
