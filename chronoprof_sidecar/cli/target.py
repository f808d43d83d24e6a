"""Where the sidecar is and which key opens it.

Owns the options, the environment and the `.env` that say so. Must not know how to talk to a sidecar.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chronoprof_sidecar.env_file import DEFAULT_ENV_FILE, read_env_file
from chronoprof_sidecar.errors import SettingsError

URL_NAME: Final = "CHRONOPROF_URL"
KEY_NAME: Final = "CHRONOPROF_API_KEY"
KEY_FILE_NAME: Final = "CHRONOPROF_API_KEY_FILE"
DEFAULT_URL: Final = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Target:
    """A sidecar, and the key to show it."""

    url: str
    key: str | None = field(repr=False)
    key_source: str
    """Where the key came from, for messages."""


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add `--url` and `--key-file`; there is no `--key`, since `ps` shows every user the flags of all."""
    group = parser.add_argument_group("the sidecar to ask")
    group.add_argument("--url", help=f"http, https or unix URL (default: {URL_NAME}, else {DEFAULT_URL})")
    group.add_argument(
        "--key-file",
        type=Path,
        metavar="PATH",
        help=f"file whose first line is the key (default: {KEY_NAME}, {KEY_FILE_NAME}, else {KEY_NAME} in ./.env)",
    )


def find_target(args: argparse.Namespace, environ: Mapping[str, str]) -> Target:
    """Return the target that flags, environment and `.env` name, in this order; its key is None when none does.

    `.env` is taken as a whole: its URL counts only where its key does, too. Otherwise a `.env` in some unpacked
    directory could have the key of the environment sent to a host of its choice.

    Raises:
        SettingsError: a key or a file cannot be read.
    """
    url = args.url or environ.get(URL_NAME)
    key, source = _find_key(args.key_file, environ)
    if key is None and DEFAULT_ENV_FILE.exists():
        from_file = read_env_file(DEFAULT_ENV_FILE)
        key, source = _find_key(None, from_file)
        source = f"{source} in {DEFAULT_ENV_FILE}"
        url = url or from_file.get(URL_NAME)
    return Target(url or DEFAULT_URL, key, source)


def _find_key(path: Path | None, names: Mapping[str, str]) -> tuple[str | None, str]:
    if path is not None:
        return _read_key(path), f"{path}"
    if key := names.get(KEY_NAME, "").strip():
        return _checked(key, KEY_NAME), KEY_NAME
    if file := names.get(KEY_FILE_NAME, "").strip():
        return _read_key(Path(file)), f"{file} ({KEY_FILE_NAME})"
    return None, ""


def _read_key(path: Path) -> str:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise SettingsError(f"cannot read the key file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read the key file {path}: it is not UTF-8 text") from error
    if not lines:
        raise SettingsError(f"the key file {path} is empty")
    return _checked(lines[0], str(path))


def _checked(key: str, source: str) -> str:
    if not key.isprintable():
        raise SettingsError(f"the key in {source} holds characters that no key has")
    return key
