"""Every setting of the sidecar, parsed once into one frozen object.

The fields of `Settings` are the table: name, parser, default, unit and description stand there once, and parsing,
command line flags, `config/chronoprof.env` and its test are all made from it. Must not know what the settings do.
Stdlib-only on import, because commands that only talk to a sidecar share the package.
"""
# ruff: noqa: RUF009 -- _setting() is dataclasses.field(), and every default it makes is immutable

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from chronoprof_sidecar import setting_values as values
from chronoprof_sidecar.env_file import DEFAULT_ENV_FILE, read_env_file
from chronoprof_sidecar.errors import SettingsError

PREFIX: Final = "CHRONOPROF_"
CLIENT_NAMES: Final = frozenset(
    PREFIX + name
    for name in (
        "URL", "API_KEY", "API_KEY_FILE", "SERVICE", "VERSION", "FLUSH_INTERVAL", "SAMPLE_EVERY", "EXCLUDE",
        "INSTRUMENT", "MIDDLEWARE",
    )
)  # fmt: skip
"""Names that the shim and the commands read; known here, so that one file or environment may hold all."""

_Value = TypeVar("_Value")


def _setting(
    parse: Callable[[str], _Value], default: str, unit: str, description: str, *, secret: bool = False
) -> _Value:
    """Declare one field of the table; `default` is the text that a user would write."""
    metadata = {"parse": parse, "default": default, "unit": unit, "description": description, "secret": secret}
    return field(default=parse(default), metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the sidecar was told; `load_settings` makes it, and its repr shows no key."""

    host: str = _setting(values.parse_line, "127.0.0.1", "address", "where to listen; 0.0.0.0 is every interface")
    port: int = _setting(values.whole_number(0, 65535), "8000", "TCP port", "where to listen; 0 takes any free port")
    unix_socket: Path | None = _setting(
        values.parse_optional_path,
        "",
        "path",
        "listen on this unix socket, too; CHRONOPROF_URL=unix:///path reaches it",
    )
    tls_cert_file: Path | None = _setting(
        values.parse_optional_path, "", "path", "certificate chain (PEM); with it the TCP port speaks https only"
    )
    tls_key_file: Path | None = _setting(values.parse_optional_path, "", "path", "private key (PEM) of the certificate")
    allowed_hosts: tuple[str, ...] = _setting(
        values.parse_list, "", "host names, comma separated", "refuse requests to any other Host; empty allows all"
    )
    admin_keys: tuple[str, ...] = _setting(
        values.parse_list,
        "",
        "keys, comma separated",
        "may do everything; a key has 16 or more printable characters, or is sha256: and its hex digest",
        secret=True,
    )
    admin_keys_file: Path | None = _setting(
        values.parse_optional_path, "", "path", "more admin keys, one a line, read again on SIGHUP"
    )
    read_keys: tuple[str, ...] = _setting(
        values.parse_list, "", "keys, comma separated", "may look, and nothing else", secret=True
    )
    read_keys_file: Path | None = _setting(
        values.parse_optional_path, "", "path", "more read keys, one a line, read again on SIGHUP"
    )
    ingest_keys: tuple[str, ...] = _setting(
        values.parse_list, "", "keys, comma separated", "may send timings, and nothing else", secret=True
    )
    ingest_keys_file: Path | None = _setting(
        values.parse_optional_path, "", "path", "more ingest keys, one a line, read again on SIGHUP"
    )
    store: str = _setting(
        values.parse_store,
        values.EMBEDDED,
        "embedded, or postgresql://user:password@host1,host2/database",
        "embedded: the data directory, for one sidecar; a database: for any number of them (takes the extra fleet)",
        secret=True,
    )
    store_file: Path | None = _setting(
        values.parse_optional_path,
        "",
        "path",
        "holds what CHRONOPROF_STORE would; then no environment shows the password",
    )
    data_dir: Path = _setting(values.parse_path, "data", "path", "the store; one sidecar per directory")
    save_dir: Path = _setting(
        values.parse_path, "saves", "path", "saved files; a relative path is under the data directory"
    )
    durability: values.Durability = _setting(
        values.parse_durability,
        "full",
        "full or normal",
        "full: acknowledged survives power loss; normal: it survives kill -9, power loss may take the last moments",
    )
    checkpoint_interval_seconds: float = _setting(
        values.seconds(3600), "5", "seconds", "how often the journal is folded; bounds what a restart must replay"
    )
    min_free_bytes: int = _setting(values.size(0), "64 MiB", "bytes", "with less disk space free, ingest answers 503")
    max_functions: int = _setting(
        values.whole_number(1), "10000", "function names", "rows of a window; what comes beyond it counts as _other"
    )
    max_senders: int = _setting(
        values.whole_number(1), "100000", "processes", "remembered, so that a retry of theirs is counted once"
    )
    max_history_bytes: int = _setting(
        values.size(2**20),
        "1 GiB",
        "bytes",
        "of the database in use; beyond it minutes become hours early, then the oldest hours are erased",
    )
    max_saves: int = _setting(values.whole_number(1), "1000", "files", "in the save directory; a full one answers 507")
    max_saves_bytes: int = _setting(values.size(1), "10 GiB", "bytes", "all saved files; a full directory answers 507")
    metrics_max_functions: int = _setting(
        values.whole_number(0),
        "500",
        "rows",
        "of /metrics, each some 20 series: function names per service and version; what comes beyond counts as _other",
    )
    keep_saves: int = _setting(
        values.whole_number(0), "0", "files", "the newest to keep when a save is added; 0 never deletes any"
    )
    max_body_bytes: int = _setting(values.size(1024), "1 MiB", "bytes", "one request body as it arrives")
    max_inflated_bytes: int = _setting(values.size(1024), "8 MiB", "bytes", "one request body after gunzip")
    max_queue_bytes: int = _setting(
        values.size(1024), "64 MiB", "bytes", "bodies that wait for the writer; beyond it ingest answers 503"
    )
    max_connections: int = _setting(values.whole_number(1), "1000", "connections", "served at once; more are refused")
    header_timeout_seconds: float = _setting(values.seconds(3600), "10", "seconds", "for the headers of a request")
    body_timeout_seconds: float = _setting(
        values.seconds(3600), "10", "seconds", "for a request's body, and for a client to take some of its answer"
    )
    # Somebody looks every half second: with 14 who asks nothing is gone within the 15 s that are promised.
    idle_timeout_seconds: float = _setting(
        values.seconds(3600), "14", "seconds", "between two requests of a connection"
    )
    drain_timeout_seconds: float = _setting(
        values.seconds(3600), "3", "seconds", "for requests in progress when the sidecar is told to stop"
    )
    log_level: values.LogLevel = _setting(
        values.parse_log_level, "info", "debug, info, warning or error", "the least severe lines to log"
    )
    log_format: values.LogFormat = _setting(
        values.parse_log_format, "text", "text or json", "lines for people or for log collectors; both go to stderr"
    )

    def __post_init__(self) -> None:
        # Absolute at once: a later change of directory moves nothing, and replace() does not resolve twice.
        object.__setattr__(self, "data_dir", self.data_dir.absolute())
        object.__setattr__(self, "save_dir", self.data_dir / self.save_dir)


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting, as flags, files and messages need to know it."""

    field: str
    """Of `Settings`: `body_timeout_seconds`."""
    name: str
    """In the environment and in files: `CHRONOPROF_BODY_TIMEOUT`."""
    parse: Callable[[str], object]
    default: str
    unit: str
    description: str
    secret: bool
    """A key: no flag for it, since `ps` shows flags, and no message with its value."""

    @property
    def flag(self) -> str:
        """On the command line: `--body-timeout`."""
        return "--" + self.name.removeprefix(PREFIX).lower().replace("_", "-")


SPECS: Final = tuple(
    Spec(field=each.name, name=PREFIX + each.name.removesuffix("_seconds").upper(), **each.metadata)
    for each in fields(Settings)
)
_BY_NAME: Final = {spec.name: spec for spec in SPECS}

# Kubernetes describes every service called `chronoprof` to every pod: CHRONOPROF_PORT=tcp://10.0.0.1:8000 and others.
_KUBERNETES_PORT = re.compile(r"(tcp|udp|sctp)://")


def load_settings(
    environ: Mapping[str, str], flags: Mapping[str, str] | None = None, env_file: Path | None = None
) -> Settings:
    """Parse the settings: flags over environment over file over defaults; an empty text counts as not given.

    `flags` maps fields of `Settings` to texts. Without `env_file`, `.env` in the working directory is read if it is
    there.

    Raises:
        SettingsError: a bad value, an unknown name in the file, or values that do not go together; names the setting.
    """
    path = env_file or DEFAULT_ENV_FILE
    layers = {
        f"in {path}": _from_file(path) if env_file or path.exists() else {},
        "in the environment": _from_environment(environ),
        "on the command line": {spec: flags[spec.field] for spec in SPECS if flags and spec.field in flags},
    }
    parsed: dict[str, Any] = {}
    for source, texts in layers.items():
        parsed |= {spec.field: _parse(spec, text, source) for spec, text in texts.items() if text}
    if parsed.get("store_file"):
        parsed["store"] = _read_store(parsed)
    settings = Settings(**parsed)
    _check_together(settings)
    return settings


def environment_warnings(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield one sentence for each `CHRONOPROF_` name in the environment that is ignored; never its value.

    They do not stop the start as in the file: whoever runs the container may not rule over all of its environment.
    """
    for name in sorted(environ):
        if name in _BY_NAME and _is_from_kubernetes(name, environ[name]):
            yield f"{name} looks like a Kubernetes service address and is ignored"
        elif name.startswith(PREFIX) and name not in _BY_NAME and name not in CLIENT_NAMES:
            yield f"{name} in the environment is no setting and is ignored{_suggest(name)}"


def _from_file(path: Path) -> dict[Spec, str]:
    found: dict[Spec, str] = {}
    for name, text in read_env_file(path).items():
        if name in _BY_NAME:
            found[_BY_NAME[name]] = text
        elif name.startswith(PREFIX) and name not in CLIENT_NAMES:
            raise SettingsError(f"{name} in {path} is no setting{_suggest(name)}")
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[Spec, str]:
    return {
        spec: environ[spec.name]
        for spec in SPECS
        if spec.name in environ and not _is_from_kubernetes(spec.name, environ[spec.name])
    }


def _is_from_kubernetes(name: str, text: str) -> bool:
    return name == f"{PREFIX}PORT" and _KUBERNETES_PORT.match(text) is not None


def _parse(spec: Spec, text: str, source: str) -> object:
    try:
        return spec.parse(text.strip())
    except ValueError as error:
        shown = "" if spec.secret else f" is {text[:80]!r}"
        raise SettingsError(f"{spec.name} {source}{shown}: expected {error}") from error


def _read_store(parsed: Mapping[str, Any]) -> str:
    path: Path = parsed["store_file"]
    source = f"{path} ({PREFIX}STORE_FILE)"
    if "store" in parsed:
        raise SettingsError(f"{PREFIX}STORE and {PREFIX}STORE_FILE exclude each other: set one of them")
    try:
        return values.parse_store(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        raise SettingsError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read {source}: it is not UTF-8 text") from error
    except ValueError as error:
        raise SettingsError(f"{source}: expected {error}") from None


def _suggest(name: str) -> str:
    close = difflib.get_close_matches(name, [*_BY_NAME, *CLIENT_NAMES], n=1, cutoff=0.9)
    return f"; did you mean {close[0]}?" if close else ""


def _check_together(settings: Settings) -> None:
    if (settings.tls_cert_file is None) != (settings.tls_key_file is None):
        raise SettingsError("CHRONOPROF_TLS_CERT_FILE and CHRONOPROF_TLS_KEY_FILE need each other: set both or neither")
    if not settings.max_body_bytes <= settings.max_inflated_bytes <= settings.max_queue_bytes:
        raise SettingsError(
            "CHRONOPROF_MAX_BODY_BYTES, CHRONOPROF_MAX_INFLATED_BYTES and CHRONOPROF_MAX_QUEUE_BYTES must not decrease:"
            f" they are {settings.max_body_bytes}, {settings.max_inflated_bytes} and {settings.max_queue_bytes}"
        )
