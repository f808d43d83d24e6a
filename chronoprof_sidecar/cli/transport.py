"""One request to a sidecar over http, https or a unix socket, with the standard library alone.

Owns connections and what a refusal reads like; whoever prints that makes it harmless first. Must not know any route.
Redirects are not followed and proxies of the environment not used: both would hand the key to somebody else.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import SplitResult, urlencode, urlsplit

from chronoprof_sidecar.cli.progress import Progress
from chronoprof_sidecar.cli.target import KEY_NAME, URL_NAME, Target
from chronoprof_sidecar.cli.text import harmless_json
from chronoprof_sidecar.errors import ChronoprofError, SettingsError
from chronoprof_sidecar.protocol import KEY_HEADER

TIMEOUT_SECONDS: Final = 30.0
"""For connecting and for each read: a save of a large window is written and synced before its answer begins."""

_CHUNK_BYTES: Final = 1 << 16

Query = Mapping[str, str | int | None]


class UnreachableError(ChronoprofError):
    """Nobody answered, or not in HTTP."""

    code = "unreachable"


class RefusedError(ChronoprofError):
    """The sidecar answered that it will not."""

    code = "refused"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_wrong_usage(self) -> bool:
        """Whether it is about what was asked for, and will be the same each time."""
        return self.status == HTTPStatus.BAD_REQUEST


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer."""

    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The JSON in the body, harmless to a terminal."""
        return harmless_json(self.body.decode("utf-8", "replace"))

    def report(self) -> dict[str, Any]:
        """Return the JSON object in the body.

        Raises:
            UnreachableError: it is something else, so whoever answered is no sidecar.
        """
        try:
            return as_mapping(json.loads(self.body))
        except ValueError as error:
            raise _not_a_sidecar() from error


def as_mapping(value: object) -> dict[str, Any]:
    """Return a part of a report that must be a JSON object.

    Raises:
        UnreachableError: it is not.
    """
    if not isinstance(value, dict):
        raise _not_a_sidecar()
    return value


def as_list(value: object) -> list[Any]:
    """Return a part of a report that must be a JSON array.

    Raises:
        UnreachableError: it is not.
    """
    if not isinstance(value, list):
        raise _not_a_sidecar()
    return value


def _not_a_sidecar() -> UnreachableError:
    return UnreachableError(f"the answer is not that of a sidecar: does {URL_NAME} name the right server?")


class Sidecar:
    """A sidecar to ask; every request has a connection of its own."""

    def __init__(self, target: Target) -> None:
        """Take where it is; nothing is sent yet.

        Raises:
            SettingsError: the URL is not one of http, https or unix.
        """
        self._target = target
        self._url = _split(target.url)

    def get(self, path: str, query: Query | None = None, *, with_key: bool = True) -> Answer:
        """Ask for `path`; parameters that are None are left out."""
        return self._request("GET", self._locate(path, query), with_key=with_key)

    def download(self, path: str, what: str, query: Query | None = None) -> Answer:
        """Ask for a file, which may be large; `what` is its name for the person who waits."""
        return self._request("GET", self._locate(path, query), what=what)

    def post(self, path: str, query: Query | None = None, body: object = None) -> Answer:
        """Change something; `body` is sent as JSON unless it is None."""
        return self._request("POST", self._locate(path, query), body)

    def _request(self, method: str, url: str, body: object = None, *, with_key: bool = True, what: str = "") -> Answer:
        content = b"" if body is None else json.dumps(body).encode()
        headers: dict[str, str | bytes] = {"Accept": "application/json"}
        if method == "POST":
            headers["Content-Length"] = str(len(content))
        if body is not None:
            headers["Content-Type"] = "application/json"
        if with_key:
            headers[KEY_HEADER] = self._key()
        connection = _connect(self._url)
        try:
            connection.request(method, url, body=content or None, headers=headers)
            response = connection.getresponse()
            answered = _read_watched(response, what) if what else response.read()
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            raise UnreachableError(self._describe(error)) from error
        finally:
            connection.close()
        if not HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES:
            raise RefusedError(self._explain(response.status, response.reason, answered), response.status)
        return Answer(response.headers, answered)

    def _locate(self, path: str, query: Query | None = None) -> str:
        prefix = "" if self._url.scheme == "unix" else self._url.path.rstrip("/")
        parameters = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        return f"{prefix}{path}" + (f"?{parameters}" if parameters else "")

    def _key(self) -> bytes:
        if self._target.key is None:
            raise SettingsError(
                f"no key: set {KEY_NAME} or {KEY_NAME}_FILE, name a file with --key-file,"
                " or make keys with `chronoprof keys --write .env`"
            )
        # As bytes, because http.client would refuse what Latin-1 cannot write.
        return self._target.key.encode()

    def _describe(self, error: Exception) -> str:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        return f"no answer from {self._target.url}: {reason} (--url or {URL_NAME} says where to ask)"

    def _explain(self, status: int, reason: str, body: bytes) -> str:
        try:
            error = json.loads(body)["error"]
            what = f"{status} {error['code']}: {error['message']}"
        except (ValueError, LookupError, TypeError):
            what = f"{status} {reason}"
        hint = f" (the key came from {self._target.key_source})" if status in {401, 403} else ""
        return f"{what}{hint}"


def _read_watched(response: http.client.HTTPResponse, what: str) -> bytes:
    content = bytearray()
    with Progress(f"Downloading {what}", response.length or 0) as progress:
        while chunk := response.read1(_CHUNK_BYTES):
            content += chunk
            progress.advance(len(chunk))
    if response.length:
        raise http.client.IncompleteRead(bytes(content), response.length)
    return bytes(content)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self._path)


def _connect(url: SplitResult) -> http.client.HTTPConnection:
    if url.scheme == "unix":
        return _UnixConnection(url.path)
    host = url.hostname or ""
    if url.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, url.port, timeout=TIMEOUT_SECONDS, context=context)
    return http.client.HTTPConnection(host, url.port, timeout=TIMEOUT_SECONDS)


def _split(text: str) -> SplitResult:
    if "@" in text:
        raise SettingsError(f"{URL_NAME} holds a user or a password: a key goes into {KEY_NAME}")
    try:
        url = urlsplit(text)
        _ = url.port  # judged on access only
    except ValueError as error:
        raise SettingsError(f"{URL_NAME} is {text!r}: {error}") from error
    has_place = bool(url.path.strip("/")) and not url.netloc if url.scheme == "unix" else url.hostname is not None
    if url.scheme not in {"http", "https", "unix"} or not has_place or url.query or url.fragment:
        raise SettingsError(f"{URL_NAME} is {text!r}: expected http://host:port, https://host:port or unix:///path")
    return url
