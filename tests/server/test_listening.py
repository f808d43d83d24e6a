import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession, UnixConnector

from chronoprof_sidecar.errors import SettingsError
from chronoprof_sidecar.server.listening import Listener
from chronoprof_sidecar.settings import Settings
from tests.server.harness import listening

DEADLINE_SECONDS = 15.0


async def health_of(url: str, **options: object) -> int:
    async with ClientSession(url, **options) as session:  # type: ignore[arg-type]
        answer = await session.get("/health/ready")
        return answer.status


async def test_any_free_port_is_told(settings: Settings) -> None:
    """With port 0 the address says which port was taken."""
    async with listening(settings) as listener:
        (address,) = listener.addresses
        assert not address.endswith(":0")
        assert await health_of(address) == 200


async def test_every_address_of_a_name_is_served(settings: Settings) -> None:
    """A host name is served on each of its addresses, at one port."""
    async with listening(replace(settings, host="localhost")) as listener:
        ports = {address.rpartition(":")[2] for address in listener.addresses}
        assert len(ports) == 1
        for address in listener.addresses:
            assert await health_of(address) == 200


async def test_a_taken_port_is_an_error_of_settings(settings: Settings) -> None:
    """A port that another process has is refused by the names of its settings."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"CHRONOPROF_PORT={port}"):
            async with listening(replace(settings, port=port)):
                pass


async def test_an_unknown_host_is_an_error_of_settings(settings: Settings) -> None:
    """A host that is none of this machine is refused by the names of its settings."""
    with pytest.raises(SettingsError, match=r"CHRONOPROF_HOST=192\.0\.2\.1"):
        async with listening(replace(settings, host="192.0.2.1")):
            pass


async def test_a_unix_socket_is_served_beside_tcp(settings: Settings, tmp_path: Path) -> None:
    """A unix socket serves the same API, is closed to strangers, and is gone afterwards."""
    path = tmp_path / "sidecar.sock"
    async with listening(replace(settings, unix_socket=path)) as listener:
        assert f"unix://{path}" in listener.addresses
        assert path.stat().st_mode & 0o777 == 0o660
        assert await health_of("http://sidecar", connector=UnixConnector(str(path))) == 200
        assert await health_of(listener.addresses[0]) == 200
    assert not path.exists()


async def test_a_dead_unix_socket_is_replaced(settings: Settings, tmp_path: Path) -> None:
    """What a killed process left behind does not keep the next one from starting."""
    path = tmp_path / "sidecar.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with listening(replace(settings, unix_socket=path)):
        assert await health_of("http://sidecar", connector=UnixConnector(str(path))) == 200


async def test_a_living_unix_socket_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    """A socket that another process listens on, and a file that is none, stay as they are."""
    path = tmp_path / "sidecar.sock"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        with pytest.raises(SettingsError, match="in use"):
            async with listening(replace(settings, unix_socket=path)):
                pass
    assert path.is_socket()
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SettingsError, match="CHRONOPROF_UNIX_SOCKET"):
        async with listening(replace(settings, unix_socket=file)):
            pass
    assert file.read_text() == "mine"


def write_certificate(authority: trustme.CA, settings: Settings) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    assert settings.tls_cert_file is not None
    assert settings.tls_key_file is not None
    certificate.cert_chain_pems[0].write_to_path(settings.tls_cert_file)
    certificate.private_key_pem.write_to_path(settings.tls_key_file)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def serial_number(url: str, context: ssl.SSLContext) -> object:
    host, _, port = url.removeprefix("https://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    certificate = writer.get_extra_info("peercert")
    writer.close()
    await writer.wait_closed()
    return certificate["serialNumber"]


@pytest.fixture
def tls_settings(settings: Settings, tmp_path: Path) -> Settings:
    """Return settings with certificate files that are still to be written."""
    return replace(settings, tls_cert_file=tmp_path / "cert.pem", tls_key_file=tmp_path / "key.pem")


async def test_tls_is_served_and_its_certificate_replaced(
    tls_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """With certificate and key the port speaks https; new files serve without a restart, bad ones change nothing."""
    authority = trustme.CA()
    write_certificate(authority, tls_settings)
    context = trusting(authority)
    async with listening(tls_settings) as listener:
        (address,) = listener.addresses
        async with ClientSession() as session:
            answer = await session.get(f"{address}/health/ready", ssl=context)
            assert answer.status == 200
        first = await serial_number(address, context)
        write_certificate(authority, tls_settings)
        listener.reload_certificate()
        second = await serial_number(address, context)
        assert first != second
        write_certificate(authority, tls_settings)
        assert tls_settings.tls_key_file is not None
        authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(tls_settings.tls_key_file)
        listener.reload_certificate()  # a new certificate with the key of another
        assert "certificate not reloaded" in caplog.text
        assert await serial_number(address, context) == second


@pytest.fixture
async def tls_listener(tls_settings: Settings) -> AsyncIterator[Listener]:
    """Serve TLS to clients that have little time."""
    write_certificate(trustme.CA(), tls_settings)
    hurried = replace(tls_settings, header_timeout_seconds=0.3, idle_timeout_seconds=0.3)
    async with listening(hurried) as listener:
        yield listener


def read_to_the_end(listener: Listener, *, shake_hands: bool) -> None:
    """Connect, begin a handshake or finish it, and then say nothing more, not even farewell."""
    host, _, port = listener.addresses[0].removeprefix("https://").rpartition(":")
    plain = socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS)
    if not shake_hands:
        plain.sendall(b"\x16\x03\x01\x02\x00")
    with (
        ssl._create_unverified_context().wrap_socket(plain) if shake_hands else plain as connected,
        socket.socket(fileno=os.dup(connected.fileno())) as below,
        contextlib.suppress(ConnectionError),
    ):
        below.settimeout(DEADLINE_SECONDS)
        while below.recv(4096):
            pass


@pytest.mark.parametrize("shake_hands", [False, True], ids=["half a handshake", "no farewell"])
async def test_a_slow_tls_client_is_cut_off(tls_listener: Listener, shake_hands: bool) -> None:
    """Who does not finish the handshake in time, or does not answer the end of TLS, loses the connection."""
    await asyncio.to_thread(read_to_the_end, tls_listener, shake_hands=shake_hands)


async def test_a_bad_certificate_is_an_error_of_settings(tls_settings: Settings) -> None:
    """A missing certificate, or a key of another one, stops the start with the names of the settings."""
    with pytest.raises(SettingsError, match="CHRONOPROF_TLS_CERT_FILE"):
        Listener(tls_settings)
    authority = trustme.CA()
    write_certificate(authority, tls_settings)
    assert tls_settings.tls_key_file is not None
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(tls_settings.tls_key_file)
    with pytest.raises(SettingsError, match="CHRONOPROF_TLS_KEY_FILE"):
        Listener(tls_settings)


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True), ("::", True)]
)
async def test_an_open_door_is_warned_of(
    settings: Settings, caplog: pytest.LogCaptureFixture, host: str, warned: bool
) -> None:
    """Listening beyond this machine without TLS is said, together with how to add it."""
    with caplog.at_level(logging.WARNING):
        async with listening(replace(settings, host=host)):
            pass
    assert ("CHRONOPROF_TLS_CERT_FILE" in caplog.text) is warned
