"""Read `.env` files: lines of NAME=VALUE.

Owns the decision who parses them. Must not know any setting's name or meaning.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from chronoprof_sidecar.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_ENV_FILE = Path(".env")
"""Read when it exists and no other file is named: in the working directory alone, never in one above it."""


def read_env_file(path: Path) -> dict[str, str]:
    """Return the names and values of `path`, with `$` left alone: a key may hold one.

    python-dotenv parses where it is installed, as the `[server]` extra has it. The commands that only talk to a sidecar
    run without any extra, and need two plain lines of the file that `chronoprof keys --write` makes: for them a
    reader of plain lines is enough, and a line that it cannot read is no reason to refuse.

    Raises:
        SettingsError: the file cannot be read, or python-dotenv is there and cannot make sense of a line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"cannot read the settings file {path}: {reason}") from error
    return dict(_parse(text, path))


def _parse(text: str, path: Path) -> "Iterator[tuple[str, str]]":
    try:
        from dotenv.parser import parse_stream  # noqa: PLC0415 -- optional, see read_env_file
    except ModuleNotFoundError:
        yield from _plain_lines(text)
        return
    from io import StringIO  # noqa: PLC0415 -- only beside parse_stream

    # dotenv_values() logs what it cannot parse and goes on: a setting would silently keep its default.
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            raise SettingsError(f"line {binding.original.line} of {path} is not NAME=VALUE")
        if binding.key is not None and binding.value is not None:
            yield binding.key, binding.value


def _plain_lines(text: str) -> "Iterator[tuple[str, str]]":
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        yield name.removeprefix("export ").strip(), value.strip().strip("'\"")
