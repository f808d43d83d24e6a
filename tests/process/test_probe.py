"""The image's health check, run beside real sidecars."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.process.sidecar import DEADLINE_SECONDS, Sidecar


def is_alive(port: int, **environ: str) -> bool:
    """Say whether the health check finds a sidecar."""
    command = [sys.executable, "-m", "chronoprof_sidecar.server.probe"]
    environ = {**os.environ, "CHRONOPROF_PORT": str(port), **environ}
    return subprocess.run(command, env=environ, timeout=DEADLINE_SECONDS, check=False).returncode == 0


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """Return the settings of a certificate for another name than this machine's."""
    issued = trustme.CA().issue_cert("timings.example")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    files = {"CHRONOPROF_TLS_CERT_FILE": tmp_path / "cert.pem", "CHRONOPROF_TLS_KEY_FILE": tmp_path / "key.pem"}
    return {name: str(path) for name, path in files.items()}


@pytest.fixture
def sidecar_with_tls(tmp_path: Path, certificate: dict[str, str]) -> Iterator[Sidecar]:
    """Run a sidecar that speaks TLS alone."""
    sidecar = Sidecar(tmp_path / "sidecar", **certificate).start(wait=False)
    try:
        sidecar.wait_for_log("listening on https://")
        yield sidecar
    finally:
        sidecar.close()


def test_a_sidecar_is_alive_until_it_is_killed(sidecar: Sidecar) -> None:
    """What answers is healthy, and what is gone is not."""
    assert is_alive(sidecar.port)
    sidecar.kill()
    assert not is_alive(sidecar.port)


@pytest.mark.parametrize("host", ["127.0.0.2", "0.0.0.0", "::1", "::"])
def test_a_sidecar_is_asked_where_it_listens(tmp_path: Path, host: str) -> None:
    """An address of its own is asked, and of every address that of this machine to itself; IPv6 has one, too."""
    sidecar = Sidecar(tmp_path, host=host).start(wait=False)
    try:
        sidecar.wait_for_log("listening on http://")
        assert is_alive(sidecar.port, CHRONOPROF_HOST=host)
    finally:
        sidecar.close()


def test_a_sidecar_with_a_certificate_is_asked_by_tls(sidecar_with_tls: Sidecar, certificate: dict[str, str]) -> None:
    """The name in the certificate is for those who come from elsewhere; without TLS nobody would answer."""
    assert is_alive(sidecar_with_tls.port, **certificate)
    assert not is_alive(sidecar_with_tls.port)
