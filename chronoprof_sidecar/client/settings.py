"""The shim's settings: read once from arguments and environment, checked, frozen.

Owns the names, defaults and bounds of what an app may set. The shim never reads a `.env` file: that is the app's to do.
Must not know what the settings are used for. No setting's value but a URL without its path is ever shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypedDict
from urllib.parse import SplitResult, urlsplit

from chronoprof_sidecar.errors import SettingsError
from chronoprof_sidecar.protocol import MAX_SAMPLE_EVERY, clean_label

DEFAULT_URL: Final = "http://127.0.0.1:8000"
_MIN_INTERVAL_SECONDS: Final = 0.05
_MAX_INTERVAL_SECONDS: Final = 3600.0
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Overrides(TypedDict, total=False):
    """What `Profiler(...)` and `profiler.configure(...)` take; each wins over its environment variable."""

    enabled: bool
    url: str
    api_key: str
    api_key_file: str
    service: str
    version: str
    flush_interval_seconds: float
    sample_every: int
    exclude: tuple[str, ...] | list[str]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the sidecar is: a host and port, with or without TLS, or the path of a unix socket."""

    host: str
    port: int
    tls: bool
    socket_path: str | None
    base_path: str

    @property
    def authority(self) -> str:
        """The `Host` header: brackets around IPv6, the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"

    def __str__(self) -> str:
        if self.socket_path is not None:
            return f"unix://{self.socket_path}"
        return f"{'https' if self.tls else 'http'}://{self.authority}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Everything that the shim can be told."""

    endpoint: Endpoint
    api_key: str = field(repr=False)
    api_key_file: str | None
    service: str
    version: str
    flush_interval_seconds: float
    sample_every: int
    exclude: tuple[str, ...]

    def current_key(self, known: str) -> str:
        """Return the key, read again if it comes from a file; the known one where the file is gone or bad."""
        if self.api_key_file is None:
            return known
        try:
            return _read_key_file(self.api_key_file)
        except SettingsError:
            return known


def read_settings(environ: Mapping[str, str], given: Overrides) -> ClientSettings:
    """Return the settings, as given in code, else as the environment says, else the defaults.

    Raises:
        SettingsError: a setting is bad, or there is no key.
    """
    api_key, api_key_file = _read_key(environ, given)
    return ClientSettings(
        endpoint=_parse_url(given.get("url") or environ.get("CHRONOPROF_URL") or DEFAULT_URL),
        api_key=api_key,
        api_key_file=api_key_file,
        service=_label(given.get("service"), environ, "CHRONOPROF_SERVICE", "OTEL_SERVICE_NAME"),
        version=_label(given.get("version"), environ, "CHRONOPROF_VERSION"),
        flush_interval_seconds=_read_interval(environ, given),
        sample_every=check_sample_every(_read_sample_every(environ, given)),
        exclude=_read_exclude(environ, given),
    )


def check_sample_every(value: object) -> int:
    """Return a sampling rate (1 in n) that is within bounds.

    Raises:
        SettingsError: it is not a whole number from 1 to a million.
    """
    if type(value) is not int or not 1 <= value <= MAX_SAMPLE_EVERY:
        raise SettingsError(f"CHRONOPROF_SAMPLE_EVERY: {value!r} is not a whole number from 1 to {MAX_SAMPLE_EVERY}")
    return value


def _read_key(environ: Mapping[str, str], given: Overrides) -> tuple[str, str | None]:
    path = given.get("api_key_file") or environ.get("CHRONOPROF_API_KEY_FILE") or None
    if given.get("api_key"):
        return _check_key(given["api_key"], "CHRONOPROF_API_KEY"), None
    if path is not None:
        return _read_key_file(path), path
    key = environ.get("CHRONOPROF_API_KEY", "").strip()
    if not key:
        raise SettingsError("CHRONOPROF_API_KEY or CHRONOPROF_API_KEY_FILE is needed: an ingest key of the sidecar")
    return _check_key(key, "CHRONOPROF_API_KEY"), None


def _read_key_file(path: str) -> str:
    try:
        lines = Path(path).read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise SettingsError(f"CHRONOPROF_API_KEY_FILE: cannot be read ({type(error).__name__})") from None
    if not lines:
        raise SettingsError("CHRONOPROF_API_KEY_FILE: the file holds no key")
    return _check_key(lines[0], "CHRONOPROF_API_KEY_FILE")


def _check_key(key: str, setting: str) -> str:
    if not (key.isascii() and key.isprintable()):
        raise SettingsError(f"{setting}: a key is made of printable ASCII characters")
    return key


def _parse_url(url: str) -> Endpoint:
    bad = SettingsError(
        "CHRONOPROF_URL: expected http://HOST:PORT, https://HOST:PORT or unix:///PATH, without user or query"
    )
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise bad from None
    if parts.query or parts.fragment or parts.username is not None or not url.isprintable():
        raise bad
    if parts.scheme == "unix" and not parts.netloc and len(parts.path) > 1:
        return Endpoint("localhost", 80, tls=False, socket_path=parts.path, base_path="")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or not parts.path.isascii() or " " in parts.path:
        raise bad
    return _network_endpoint(parts, port, bad)


def _network_endpoint(parts: SplitResult, port: int | None, bad: SettingsError) -> Endpoint:
    try:
        # This also loads the codec, which `socket` and `ssl` use again: in the flush thread an import would be a danger
        # to forks.
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except UnicodeError:
        raise bad from None
    return Endpoint(
        host,
        port or _DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme == "https",
        socket_path=None,
        base_path=parts.path.rstrip("/"),
    )


def _label(given: str | None, environ: Mapping[str, str], *names: str) -> str:
    text = given or next((environ[name] for name in names if environ.get(name)), "")
    return clean_label(text)


def _read_interval(environ: Mapping[str, str], given: Overrides) -> float:
    value: object = given.get("flush_interval_seconds", environ.get("CHRONOPROF_FLUSH_INTERVAL") or "1")
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not _MIN_INTERVAL_SECONDS <= seconds <= _MAX_INTERVAL_SECONDS:
        raise SettingsError(
            f"CHRONOPROF_FLUSH_INTERVAL: {value!r} is not a number of seconds "
            f"from {_MIN_INTERVAL_SECONDS} to {_MAX_INTERVAL_SECONDS:.0f}"
        )
    return seconds


def _read_sample_every(environ: Mapping[str, str], given: Overrides) -> object:
    if "sample_every" in given:
        return given["sample_every"]
    text = environ.get("CHRONOPROF_SAMPLE_EVERY") or "1"
    return int(text) if text.isascii() and text.isdigit() else text


def _read_exclude(environ: Mapping[str, str], given: Overrides) -> tuple[str, ...]:
    if "exclude" in given:
        return tuple(given["exclude"])
    patterns = (pattern.strip() for pattern in environ.get("CHRONOPROF_EXCLUDE", "").split(","))
    return tuple(pattern for pattern in patterns if pattern)
