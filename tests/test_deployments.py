"""config/kubernetes and config/systemd: they say of the sidecar what the code, the image and `make secrets` say."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chronoprof_sidecar.client.settings import read_settings
from chronoprof_sidecar.client.switch import is_enabled
from chronoprof_sidecar.server.app import ROUTES
from chronoprof_sidecar.settings import environment_warnings, load_settings
from tests.system.image import ROOT, read_image

Json = dict[str, Any]
MANIFESTS = sorted((ROOT / "config" / "kubernetes").glob("*.yaml"))
OBJECTS: list[tuple[str, Json]] = [
    (path.stem, document) for path in MANIFESTS for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
PODS = {name: document["spec"]["template"] for name, document in OBJECTS if "template" in document["spec"]}
UNIT = (ROOT / "config" / "systemd" / "chronoprof.service").read_text(encoding="utf-8")
IMAGE = read_image("sidecar")
PORT = int(IMAGE.environ["CHRONOPROF_PORT"])
LONGEST_END_SECONDS = 8
"""Of the sidecar after SIGTERM, as docs/guarantees.md has it."""


def containers_of(pod: Json) -> list[Json]:
    """Return all containers of a pod."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def sidecar_in(pod: Json) -> Json:
    """Return the sidecar's container of a pod."""
    (found,) = (each for each in containers_of(pod) if each["name"] == "chronoprof")
    return found


def environ_of(container: Json) -> dict[str, str]:
    """Return the variables of a container."""
    return {each["name"]: each["value"] for each in container["env"]}


def unit_values(name: str) -> list[str]:
    """Return the values of a directive of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the names of the files that `make secrets` makes."""
    directory = tmp_path_factory.mktemp("secrets")
    subprocess.run(
        ["make", "--silent", "-C", directory, "-f", ROOT / "Makefile", "secrets"],
        timeout=30,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {path.name for path in (directory / "secrets").iterdir()}


@pytest.mark.parametrize("name", PODS)
def test_the_sidecar_understands_its_variables(name: str) -> None:
    """Image and manifest together are settings that the sidecar takes without a warning."""
    environ = {**IMAGE.environ, **environ_of(sidecar_in(PODS[name]))}
    assert [] == list(environment_warnings(environ))
    settings = load_settings(environ, env_file=ROOT / "config" / "chronoprof.env")
    assert settings.max_saves_bytes >= 2**30
    (volume,) = IMAGE.volumes
    assert str(settings.data_dir) == volume
    assert {"data": volume} == {
        mount["name"]: mount["mountPath"] for mount in sidecar_in(PODS[name])["volumeMounts"] if mount["name"] == "data"
    }


@pytest.mark.parametrize("name", PODS)
def test_ports_and_paths_are_the_codes(name: str) -> None:
    """Every port is the image's, and every path that is probed answers without a key."""
    sidecar = sidecar_in(PODS[name])
    (port,) = sidecar["ports"]
    assert PORT == port["containerPort"]
    open_paths = {route.path for route in ROUTES if route.role is None}
    probes = [probe for key, probe in sidecar.items() if key.endswith("Probe")]
    assert probes
    for probe in probes:
        assert probe["httpGet"]["path"] in open_paths
        assert port["name"] == probe["httpGet"]["port"]
    assert sidecar["args"] == IMAGE.command


def test_the_app_starts_whatever_becomes_of_its_sidecar() -> None:
    """A native sidecar has no probe that would keep the app from starting or from being asked."""
    sidecar = sidecar_in(PODS["sidecar"])
    assert "Always" == sidecar["restartPolicy"]
    assert {"livenessProbe"} == {key for key in sidecar if key.endswith("Probe")}


def test_the_service_leads_to_the_sidecar() -> None:
    """Who sends to `http://chronoprof:8000` arrives."""
    (service,) = (document for _, document in OBJECTS if document["kind"] == "Service")
    assert service["spec"]["selector"].items() <= PODS["service"]["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    assert (PORT, sidecar_in(PODS["service"])["ports"][0]["name"]) == (port["port"], port["targetPort"])


@pytest.mark.parametrize("name", PODS)
def test_keys_are_files_that_exist(name: str, secrets: set[str]) -> None:
    """Each key is a file of the secret that is made of `make secrets`, mounted where the variable says."""
    pod = PODS[name]["spec"]
    volumes = {volume["name"]: volume.get("secret") for volume in pod["volumes"]}
    for container in containers_of(PODS[name]):
        (mount,) = (mount for mount in container["volumeMounts"] if volumes.get(mount["name"]))
        secret = volumes[mount["name"]]
        held = {item["path"] for item in secret["items"]} if "items" in secret else secrets
        named = {Path(value) for key, value in environ_of(container).items() if key.endswith("_FILE")}
        assert named
        assert named == {Path(mount["mountPath"]) / key for key in held}
        assert held <= secrets
        assert "chronoprof-keys" == secret["secretName"]


def test_the_app_in_the_pod_is_switched_on(tmp_path: Path) -> None:
    """The shim takes the variables of the app's container, and finds the sidecar of its pod with the ingest key."""
    (app,) = PODS["sidecar"]["spec"]["containers"]
    environ = environ_of(app)
    assert "ingest_keys" == Path(environ["CHRONOPROF_API_KEY_FILE"]).name
    key_file = tmp_path / "ingest_keys"
    key_file.write_text("k" * 20)
    settings = read_settings({**environ, "CHRONOPROF_API_KEY_FILE": str(key_file)}, {})
    assert ("127.0.0.1", PORT) == (settings.endpoint.host, settings.endpoint.port)
    assert is_enabled(environ, None)


@pytest.mark.parametrize("name", PODS)
def test_every_container_is_confined(name: str) -> None:
    """The image's user, no capability, no new privilege, no writable root, bounded memory, no token, time to end."""
    pod = PODS[name]["spec"]
    user, group = map(int, IMAGE.user.split(":"))
    security = pod["securityContext"]
    assert (user, group, group) == (security["runAsUser"], security["runAsGroup"], security["fsGroup"])
    assert security["runAsNonRoot"]
    assert {"type": "RuntimeDefault"} == security["seccompProfile"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] > LONGEST_END_SECONDS
    for container in containers_of(PODS[name]):
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]
        assert container["resources"]["limits"]["memory"]


def test_network_policies_hold_the_door() -> None:
    """Each pod has a policy, and the sidecar's port is open to named senders and readers alone."""
    policies = {name: document["spec"] for name, document in OBJECTS if document["kind"] == "NetworkPolicy"}
    assert set(PODS) == set(policies)
    for name, policy in policies.items():
        assert policy["podSelector"]["matchLabels"].items() <= PODS[name]["metadata"]["labels"].items()
        rules = [rule for rule in policy["ingress"] if {"port": PORT} in rule["ports"]]
        assert rules
        assert all(rule["from"] for rule in rules)
    assert [] == policies["service"]["egress"]


def test_the_unit_starts_what_there_is() -> None:
    """The unit's command line, settings file and variables are taken by `chronoprof serve` without a warning."""
    (command,) = unit_values("ExecStart")
    _, serve, flag, env_file = command.split()
    assert ("serve", "--env-file") == (serve, flag)
    environ = dict(value.split("=", 1) for value in unit_values("Environment"))
    assert [] == list(environment_warnings(environ))
    settings = load_settings(environ, env_file=ROOT / "config" / "chronoprof.env")
    (state,) = unit_values("StateDirectory")
    assert f"/var/lib/{state}" == str(settings.data_dir)
    assert {Path(env_file).parent} == {
        file.parent for file in (settings.admin_keys_file, settings.read_keys_file, settings.ingest_keys_file) if file
    }
    assert int(*unit_values("TimeoutStopSec")) > LONGEST_END_SECONDS
    assert int(*unit_values("LimitNOFILE")) > settings.max_connections


def test_the_unit_keeps_its_keys(secrets: set[str]) -> None:
    """The key files of the unit are those that `make secrets` makes."""
    environ = dict(value.split("=", 1) for value in unit_values("Environment"))
    assert secrets == {Path(value).name for name, value in environ.items() if name.endswith("_KEYS_FILE")}
