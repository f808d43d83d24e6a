"""Who may pass: host, key, role and origin of a request, judged before any handler sees it.

Owns where in a request a key may stand. Which keys there are, and how many wrong ones are too many, `auth` knows.
"""

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from chronoprof_sidecar.auth import BadKeyLimiter, Keyring, Role
from chronoprof_sidecar.errors import ForbiddenError, MalformedRequestError, MisdirectedError, UnauthorizedError
from chronoprof_sidecar.protocol import KEY_HEADER

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_NO_ADDRESS: Final = "unix socket"


class Gate:
    """Lets requests through to their handlers, or refuses them."""

    def __init__(
        self,
        keyring: Keyring,
        limiter: BadKeyLimiter,
        roles: Mapping[Handler, Role | None],
        allowed_hosts: Collection[str],
    ) -> None:
        """Take the role that each handler needs, None for the public ones; no `allowed_hosts` allow all."""
        self.keyring = keyring
        self._limiter = limiter
        self._roles = roles
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    def check(self, request: web.Request) -> None:
        """Return when `request` may be served.

        Public routes are open under any name and to any page: they hold no figures, and orchestrators ask by address.

        Raises:
            MisdirectedError, MalformedRequestError, UnauthorizedError, TooManyBadKeysError, ForbiddenError: it may not.
        """
        if request.match_info.http_exception is not None:
            return  # 404 and 405 are the same for everyone
        required = self._roles[request.match_info.handler]
        if required is None:
            return
        if self._allowed_hosts:
            self._check_host(request)
        role = self._identify(request)
        if not role.may(required):
            raise ForbiddenError(f"this needs a key of the role {required}, and yours has the role {role}")
        if request.method not in _SAFE_METHODS:
            _check_origin(request)

    def _check_host(self, request: web.Request) -> None:
        host = request.headers.get("Host", "").lower()
        if host not in self._allowed_hosts and _without_port(host) not in self._allowed_hosts:
            raise MisdirectedError("this host name is not among CHRONOPROF_ALLOWED_HOSTS")

    def _identify(self, request: web.Request) -> Role:
        key = _presented_key(request)
        role = self.keyring.role_of(key)
        if role is None:
            self._limiter.record(request.remote or _NO_ADDRESS)
            raise UnauthorizedError("nobody issued this key")
        return role


def _presented_key(request: web.Request) -> str:
    keys = request.headers.getall(KEY_HEADER, [])
    for credentials in request.headers.getall("Authorization", ()):
        scheme, _, token = credentials.partition(" ")
        if scheme.lower() == "bearer":  # a reverse proxy may have a scheme of its own
            keys.append(token.strip())
    if not any(keys):
        raise UnauthorizedError(f"a key is needed: in the header {KEY_HEADER}, or as Authorization: Bearer")
    if len(set(keys)) > 1:
        raise MalformedRequestError("the request has two keys that differ")
    return keys[0]


def _check_origin(request: web.Request) -> None:
    """Refuse a change that a page of another site asks for; programs send no Origin."""
    origin = request.headers.get("Origin")
    # Hosts alone are compared: behind a proxy that ends TLS, the scheme is not ours to know.
    if origin is not None and _host_of(origin) != request.headers.get("Host", "").lower():
        raise ForbiddenError("a page of another origin may not change anything here")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdecimal() else host
