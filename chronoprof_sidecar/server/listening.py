"""The sockets that the sidecar listens on: TCP with or without TLS, and a unix socket.

Owns how they are opened and named. What speaks on them comes in as a protocol factory.
"""

import asyncio
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chronoprof_sidecar.errors import SettingsError
from chronoprof_sidecar.settings import Settings

logger = logging.getLogger(__name__)

_BACKLOG: Final = 1024
"""Connections that wait to be accepted; the kernel's net.core.somaxconn may lower it."""
_ACCEPTED_AT_ONCE: Final = 8
"""What asyncio takes for the backlog, too. In its own loop more of them at once use up the descriptors that are left
for refusing, before any is refused."""
_SEND_BUFFER_BYTES: Final = 128 * 1024
"""Kernel memory per connection for unsent answers; a larger one would also hide for minutes that a client stopped."""
_FAREWELL_SECONDS: Final = 2.0
"""For the peer of a closed TLS connection to say that it is done, too; asyncio would wait for half a minute."""
_UNIX_SOCKET_MODE: Final = 0o660
"""Owner and group; the directory decides who may reach it at all."""


class Listener:
    """The open sockets."""

    def __init__(self, settings: Settings) -> None:
        """Read the certificate, if there is one.

        Raises:
            SettingsError: it is not to be read.
        """
        self._settings = settings
        self._tls = _make_tls_context(settings)
        self._servers: list[asyncio.Server] = []
        self._unix_path: Path | None = None
        self.addresses: list[str] = []
        """URLs, with the port that was really taken."""

    async def open(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Listen where the settings say.

        Raises:
            SettingsError: an address is not to be had.
        """
        loop = asyncio.get_running_loop()
        scheme = "http" if self._tls is None else "https"
        timeouts = (None, None) if self._tls is None else (self._settings.header_timeout_seconds, _FAREWELL_SECONDS)
        for bound in await _bind_tcp(self._settings):
            server = await loop.create_server(
                protocol,
                sock=bound,
                ssl=self._tls,
                backlog=_ACCEPTED_AT_ONCE,
                ssl_handshake_timeout=timeouts[0],
                ssl_shutdown_timeout=timeouts[1],
            )
            bound.listen(_BACKLOG)
            self._servers.append(server)
            self.addresses.append(f"{scheme}://{_format_address(bound)}")
        if self._settings.unix_socket is not None:
            bound = _bind_unix(self._settings.unix_socket)
            self._unix_path = self._settings.unix_socket
            self._servers.append(await loop.create_unix_server(protocol, sock=bound, backlog=_ACCEPTED_AT_ONCE))
            bound.listen(_BACKLOG)
            self.addresses.append(f"unix://{self._unix_path}")
        if self._tls is None and not _is_loopback(self._settings.host):
            logger.warning(
                "listening on %s without TLS: keys and figures cross the network in the clear; set"
                " CHRONOPROF_TLS_CERT_FILE and CHRONOPROF_TLS_KEY_FILE, or let a proxy beside the sidecar add TLS",
                self._settings.host,
            )

    def close(self) -> None:
        """Accept no more connections; those that are open stay."""
        for server in self._servers:
            server.close()
        if self._unix_path is not None:
            self._unix_path.unlink(missing_ok=True)

    def reload_certificate(self) -> None:
        """Read certificate and key again for new connections; with anything wrong, the old ones stay."""
        if self._tls is None:
            return
        try:
            _make_tls_context(self._settings)  # tried apart first: a context may be left with half of a bad pair
            _load_certificate(self._tls, self._settings)
        except SettingsError as error:
            logger.error("certificate not reloaded, the one from before stays: %s", error)


def _make_tls_context(settings: Settings) -> ssl.SSLContext | None:
    if settings.tls_cert_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, settings)
    return context


def _load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    if settings.tls_cert_file is None:
        return
    try:
        # An empty password: a key that has one is an error, not a prompt on the terminal.
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file, password="")
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"CHRONOPROF_TLS_CERT_FILE={settings.tls_cert_file}, CHRONOPROF_TLS_KEY_FILE={settings.tls_key_file}:"
            f" cannot be used: {error}"
        ) from error


async def _bind_tcp(settings: Settings) -> list[socket.socket]:
    """Return one bound socket per address of the host, all with the same port."""
    host, port = settings.host, settings.port
    loop = asyncio.get_running_loop()
    sockets: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, address in sorted({(family, address) for family, _, _, _, address in found}):
            bound = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(bound)
            _set_options(bound, settings)
            bound.bind((address[0], port, *address[2:]))
            port = bound.getsockname()[1]
    except OSError as error:
        for opened in sockets:
            opened.close()
        raise SettingsError(
            f"cannot listen on CHRONOPROF_HOST={host}, CHRONOPROF_PORT={settings.port}: {error.strerror}"
        ) from error
    return sockets


def _set_options(bound: socket.socket, settings: Settings) -> None:
    """Set what accepted connections inherit, too."""
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    if bound.family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: when to give up on a peer that acknowledges nothing
        milliseconds = int(settings.idle_timeout_seconds * 1000)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def _bind_unix(path: Path) -> socket.socket:
    """Return a socket bound to `path`, in place of one that a dead process left there."""
    if path.is_socket():
        _remove_dead(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        path.chmod(_UNIX_SOCKET_MODE)
    except OSError as error:
        bound.close()
        raise SettingsError(f"cannot listen on CHRONOPROF_UNIX_SOCKET={path}: {error.strerror}") from error
    return bound


def _remove_dead(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise SettingsError(f"cannot use CHRONOPROF_UNIX_SOCKET={path}: {error.strerror}") from error
        else:
            raise SettingsError(f"CHRONOPROF_UNIX_SOCKET={path} is in use by another process")


def _format_address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
