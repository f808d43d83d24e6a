"""The container files, read by the real tools: what Compose makes of them, and what hadolint says."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chronoprof_sidecar.cli.main import build_parser
from chronoprof_sidecar.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
COMPOSE = (str(BIN / "docker-compose"), "--file", str(ROOT / "docker-compose.yml"))
PROFILES = ("--profile=fleet", "--profile=move")
COMPOSE_CONFIG = (*COMPOSE, *PROFILES, "config")
HADOLINT = (str(BIN / "hadolint"), "--no-color", "--failure-threshold=style", str(ROOT / "Dockerfile"))

# The packages with these binaries exist for Linux on x86-64; CI is such a machine.
pytestmark = pytest.mark.skipif(
    (sys.platform, os.uname().machine) != ("linux", "x86_64"), reason="no wheel of Compose and hadolint here"
)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Return the services of all profiles as Compose resolves them, anchors and env_file included."""
    return resolve(*PROFILES)


def resolve(*options: str, **environ: str) -> dict[str, Any]:
    """Return the services that Compose would start."""
    command = [*COMPOSE, *options, "config", "--format=json"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHRONOPROF_")}
    done = subprocess.run(command, capture_output=True, timeout=30, check=True, env=clean | environ)
    resolved: dict[str, Any] = json.loads(done.stdout)["services"]
    return resolved


@pytest.mark.parametrize("profiles", [(), PROFILES[:1], PROFILES[1:], PROFILES])
def test_compose_accepts_the_file_without_a_warning(profiles: tuple[str, ...]) -> None:
    """`docker compose config` finds nothing to complain about, whichever profiles are asked for."""
    command = [*COMPOSE, *profiles, "config", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (0, "", "") == (result.returncode, result.stdout, result.stderr)


def test_hadolint_accepts_the_dockerfile() -> None:
    """The Dockerfile breaks none of hadolint's rules, and none is switched off."""
    result = subprocess.run(HADOLINT, capture_output=True, text=True, timeout=30, check=False)
    assert (0, "") == (result.returncode, result.stdout)
    assert "hadolint ignore" not in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["sidecar", "app", "fleet", "import", "database", "prometheus"])
def test_every_service_is_confined(services: dict[str, Any], name: str) -> None:
    """No capability, no new privilege, no writable root, bounded memory and processes, and only loopback outside."""
    service = services[name]
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert service["read_only"]
    assert 0 < int(service["mem_limit"]) <= 2**30
    assert 0 < service["pids_limit"] <= 256
    assert {"127.0.0.1"} >= {port["host_ip"] for port in service.get("ports", [])}


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
        assert not {
            *("CHRONOPROF_ADMIN_KEYS", "CHRONOPROF_INGEST_KEYS", "CHRONOPROF_API_KEY"),
            *("CHRONOPROF_STORE", "POSTGRES_PASSWORD", "PGPASSWORD"),
        } & set(service.get("environment", {}))
    assert {"ingest_keys"} == {secret["source"] for secret in services["app"]["secrets"]}


def test_profiles_start_what_they_name() -> None:
    """Without one there is the one sidecar; `fleet` adds the rest but for the import, which is run by itself."""
    one = {"sidecar", "app"}
    assert one == resolve().keys()
    assert one | {"fleet", "database", "prometheus"} == resolve("--profile=fleet").keys()
    assert one | {"import", "database"} == resolve("--profile=move").keys()


def test_two_replicas_share_one_database(services: dict[str, Any]) -> None:
    """Both wait for the database, have its URL and nothing else of it, and keep no data; the app can be sent there."""
    fleet = services["fleet"]
    assert 2 == fleet["scale"]
    assert "service_healthy" == fleet["depends_on"]["database"]["condition"]
    assert "/run/secrets/store" == fleet["environment"]["CHRONOPROF_STORE_FILE"]
    assert not fleet.get("volumes")
    assert "8001-8002" == fleet["ports"][0]["published"]
    assert {"database_password"} == {secret["source"] for secret in services["database"]["secrets"]}
    assert "http://sidecar:8000" == services["app"]["environment"]["CHRONOPROF_URL"]
    moved = resolve("--profile=fleet", CHRONOPROF_URL="http://fleet:8000")["app"]["environment"]["CHRONOPROF_URL"]
    assert "http://fleet:8000" == moved


def test_the_import_reads_what_the_sidecar_wrote(services: dict[str, Any]) -> None:
    """Its command is one that there is, on the volume of the one sidecar, into the database of the two."""
    service = services["import"]
    args = build_parser().parse_args(service["command"])
    (volume,) = service["volumes"]
    assert service["volumes"] == services["sidecar"]["volumes"]
    assert volume["target"] == args.data_dir
    assert services["fleet"]["environment"]["CHRONOPROF_STORE_FILE"] == service["environment"]["CHRONOPROF_STORE_FILE"]
    assert {"store"} == {secret["source"] for secret in service["secrets"]}


def test_prometheus_scrapes_every_replica(services: dict[str, Any]) -> None:
    """Its configuration is mounted, and asks for all addresses of the replicas, at the port that they listen at."""
    service = services["prometheus"]
    (mount,) = (volume for volume in service["volumes"] if volume["type"] == "bind")
    (option,) = (word for word in service["command"] if word.startswith("--config.file="))
    config = Path(mount["source"]) / Path(option).name
    (job,) = yaml.safe_load(config.read_text())["scrape_configs"]
    (replicas,) = job["dns_sd_configs"]
    assert (["fleet"], "A", services["fleet"]["ports"][0]["target"]) == tuple(
        replicas[name] for name in ("names", "type", "port")
    )
    assert job["honor_labels"]
    assert "/run/secrets/" + service["secrets"][0]["source"] == job["authorization"]["credentials_file"]


def test_the_build_context_is_a_list_of_what_may_enter() -> None:
    """Everything stays out of the build context unless it is named, so that no key can end up in a layer."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert "*" == rules[0]
    assert not [rule for rule in rules if rule.startswith("!") and ("secret" in rule or ".env" in rule)]


def test_make_makes_the_secrets_of_the_fleet(tmp_path: Path) -> None:
    """A 256-bit password and the URL with it, which the sidecar takes; asking again changes nothing."""
    for _ in range(2):
        make = ["make", "--silent", "-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "secrets/fleet"]
        subprocess.run(make, timeout=30, check=True, stdout=subprocess.DEVNULL)
        password = (tmp_path / "secrets" / "fleet" / "database_password").read_text()
    assert 256 == len(bytes.fromhex(password)) * 8
    settings = load_settings({"CHRONOPROF_STORE_FILE": str(tmp_path / "secrets" / "fleet" / "store")})
    assert f"postgresql://sidecar:{password}@database/chronoprof" == settings.store


def test_make_secrets_makes_keys_that_only_the_containers_can_read(tmp_path: Path) -> None:
    """One 256-bit key per role: the directory keeps other users out, the files are readable inside the containers."""
    subprocess.run(["make", "--silent", "-C", tmp_path, "-f", ROOT / "Makefile", "secrets"], timeout=30, check=True)
    assert 0o700 == stat.S_IMODE((tmp_path / "secrets").stat().st_mode)
    for role in ("admin", "read", "ingest"):
        path = tmp_path / "secrets" / f"{role}_keys"
        assert 0o644 == stat.S_IMODE(path.stat().st_mode)
        prefix, _, key = path.read_text().strip().rpartition("_")
        assert (f"chp_{role}", 256) == (prefix, len(bytes.fromhex(key)) * 8)
