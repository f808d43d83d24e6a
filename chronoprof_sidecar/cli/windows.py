"""Whole windows for a command: from a save file that is here, or, by name, from the sidecar.

Owns how the two are told apart, and how a save file is written here. What a save holds belongs to `wire`.
"""

import argparse
import os
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex
from typing import Final
from urllib.parse import quote

from chronoprof_sidecar.cli.command import ask
from chronoprof_sidecar.cli.transport import RefusedError
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.windows import SAVE_ENDING, is_computed
from chronoprof_sidecar.errors import FileExistsConflictError, MalformedRequestError, NotFoundError, SettingsError
from chronoprof_sidecar.protocol import SAVES_PATH
from chronoprof_sidecar.wire.save_format import load_save

EXPORT_ENDING: Final = ".csv"
WINDOW_HELP: Final = (
    "a save file here, or what the sidecar has: the name of a save, live, version:1.4, or a span such as -1d..now"
)


def find_window(args: argparse.Namespace, name: str, service: str | None = None) -> Snapshot:
    """Return the window in the file `name`; if there is none, the one that the sidecar calls so.

    A computed window is the sidecar's even where a file is called so.
    A span is asked for by `service`, since its rows are merged over the labels; other windows come whole.

    Raises:
        NotFoundError: neither is there.
        SettingsError: there is no file, and without a key or a proper URL no sidecar can be asked.
        UnreachableError: there is no file, and no sidecar answered.
        RefusedError: there is no file, and the sidecar refused to say.
        MalformedRequestError: the file is no save, or the name is that of an export.
    """
    path = Path(name)
    if is_here(name):
        return parse_save(name, read_file(path))
    if path.suffix == SAVE_ENDING and path.name != name:
        raise NotFoundError(f"there is no file {name}")
    _refuse_export(name)
    query = None if path.suffix == SAVE_ENDING else {"service": service}
    try:
        content = ask(args).download(f"{SAVES_PATH}/{quote(name, safe='')}", name, query).body
    except SettingsError as error:
        raise SettingsError(f"{name} is no file here, and no sidecar can be asked for it: {error}") from error
    except RefusedError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise NotFoundError(f"{name} is no file here, and the sidecar has none: {error}") from error
    return parse_save(name, content)


def is_here(name: str) -> bool:
    """Say whether the window `name` is that of a file here, and not one of the sidecar's."""
    return not is_computed(name) and Path(name).is_file()


def read_file(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        NotFoundError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"cannot read {path}: {error.strerror}") from error


def parse_save(name: str, content: bytes) -> Snapshot:
    """Return the window in a save.

    Raises:
        MalformedRequestError: it is none; the message begins with its name.
    """
    _refuse_export(name)
    try:
        return load_save(content)
    except MalformedRequestError as error:
        raise MalformedRequestError(f"{name}: {error}") from error


def _refuse_export(name: str) -> None:
    if Path(name).suffix == EXPORT_ENDING and not is_computed(name):
        raise MalformedRequestError(
            f"{name}: a {EXPORT_ENDING} file is an export without distributions, which cannot be compared or merged;"
            f" save the window as {SAVE_ENDING}"
        )


def write_file(path: Path, content: Iterable[bytes], *, overwrite: bool) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        FileExistsConflictError: it is there already and `overwrite` is false; it stays as it was.
        NotFoundError: it cannot be written there.
    """
    temporary = path.with_name(f".{path.name[:100]}-{token_hex(8)}.tmp")
    try:
        try:
            with temporary.open("xb") as file:
                file.writelines(content)
            if overwrite:
                temporary.replace(path)
            else:
                os.link(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except FileExistsError:
        raise FileExistsConflictError(f"{path} exists and is not overwritten without --force") from None
    except OSError as error:
        raise NotFoundError(f"cannot write {path}: {error.strerror}") from error
