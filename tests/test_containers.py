"""The container files, read by the real tools: what Compose makes of them, and what hadolint says."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chronoprof_sidecar.settings import Settings

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
COMPOSE_CONFIG = (str(BIN / "docker-compose"), "--file", str(ROOT / "docker-compose.yml"), "config")
HADOLINT = (str(BIN / "hadolint"), "--no-color", "--failure-threshold=style", str(ROOT / "Dockerfile"))

# The packages with these binaries exist for Linux on x86-64; CI is such a machine.
pytestmark = pytest.mark.skipif(
    (sys.platform, os.uname().machine) != ("linux", "x86_64"), reason="no wheel of Compose and hadolint here"
)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Return the services as Compose resolves them, anchors and env_file included."""
    printed = subprocess.run([*COMPOSE_CONFIG, "--format=json"], capture_output=True, timeout=30, check=True).stdout
    resolved: dict[str, Any] = json.loads(printed)["services"]
    return resolved


def test_compose_accepts_the_file_without_a_warning() -> None:
    """`docker compose config` finds nothing to complain about."""
    result = subprocess.run([*COMPOSE_CONFIG, "--quiet"], capture_output=True, text=True, timeout=30, check=False)
    assert (0, "", "") == (result.returncode, result.stdout, result.stderr)


def test_hadolint_accepts_the_dockerfile() -> None:
    """The Dockerfile breaks none of hadolint's rules, and none is switched off."""
    result = subprocess.run(HADOLINT, capture_output=True, text=True, timeout=30, check=False)
    assert (0, "") == (result.returncode, result.stdout)
    assert "hadolint ignore" not in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["sidecar", "app"])
def test_every_service_is_confined(services: dict[str, Any], name: str) -> None:
    """No capability, no new privilege, no writable root, bounded memory and processes, and only loopback outside."""
    service = services[name]
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert service["read_only"]
    assert 0 < int(service["mem_limit"]) <= 2**30
    assert 0 < service["pids_limit"] <= 256
    assert {"127.0.0.1"} == {port["host_ip"] for port in service["ports"]}


def test_the_app_stops_before_the_sidecar(services: dict[str, Any]) -> None:
    """Compose starts the app after the sidecar and stops it first, so that its last batches find somebody."""
    assert "service_started" == services["app"]["depends_on"]["sidecar"]["condition"]


def test_nobody_kills_the_sidecar_while_it_drains(services: dict[str, Any]) -> None:
    """The grace period leaves room for the drain and the 5 seconds of commits and checkpoint after it."""
    grace_seconds = float(services["sidecar"]["stop_grace_period"].removesuffix("s"))
    assert grace_seconds >= Settings().drain_timeout_seconds + 5


def test_no_key_is_in_an_environment(services: dict[str, Any]) -> None:
    """Keys reach the containers as secret files, each only the roles that it needs."""
    for service in services.values():
        assert not {"CHRONOPROF_ADMIN_KEYS", "CHRONOPROF_INGEST_KEYS", "CHRONOPROF_API_KEY"} & set(
            service["environment"]
        )
    assert {"ingest_keys"} == {secret["source"] for secret in services["app"]["secrets"]}


def test_the_build_context_is_a_list_of_what_may_enter() -> None:
    """Everything stays out of the build context unless it is named, so that no key can end up in a layer."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert "*" == rules[0]
    assert not [rule for rule in rules if rule.startswith("!") and ("secret" in rule or ".env" in rule)]


def test_make_secrets_makes_keys_that_only_the_containers_can_read(tmp_path: Path) -> None:
    """One 256-bit key per role: the directory keeps other users out, the files are readable inside the containers."""
    subprocess.run(["make", "--silent", "-C", tmp_path, "-f", ROOT / "Makefile", "secrets"], timeout=30, check=True)
    assert 0o700 == stat.S_IMODE((tmp_path / "secrets").stat().st_mode)
    for role in ("admin", "read", "ingest"):
        path = tmp_path / "secrets" / f"{role}_keys"
        assert 0o644 == stat.S_IMODE(path.stat().st_mode)
        prefix, _, key = path.read_text().strip().rpartition("_")
        assert (f"chp_{role}", 256) == (prefix, len(bytes.fromhex(key)) * 8)
