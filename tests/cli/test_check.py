"""`chronoprof check`: every finding on its own line, and one failure is enough for exit code 1."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import KEY, Run, StandIn

READY = "GET /health/ready"
DATA = "GET /api/v1/profiling/data"


@pytest.fixture
def healthy(ask: Run, sidecar: StandIn, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A place where everything is as it should be."""
    sidecar.answer(READY, b'{"status": "ok"}')
    sidecar.answer(DATA, b'{"data": {}, "meta": {}}')
    monkeypatch.setenv("CHRONOPROF_ADMIN_KEYS", KEY)
    return ask


def test_all_is_well(healthy: Run, sidecar: StandIn, tmp_path: Path) -> None:
    """Every check says what it found; readiness is asked without the key, and nothing is left behind."""
    Path("data").mkdir()

    ran = healthy("check")

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "ok      settings        all understood",
        "ok      keys            1 admin, 0 read, 0 ingest",
        f"ok      data directory  {tmp_path}/data can be written",
        f"ok      save directory  {tmp_path}/data/saves can be made",
        f"ok      sidecar         {sidecar.url} is ready",
        "ok      api key         known, may look (from CHRONOPROF_API_KEY)",
    ]
    assert ["X-API-Key" in request.headers for request in sidecar.received] == [False, True]
    assert list(Path("data").iterdir()) == []


@pytest.mark.parametrize(
    ("setting", "value", "failed"),
    [
        ("CHRONOPROF_PORT", "x", ["settings"]),
        ("CHRONOPROF_ADMIN_KEYS", "", ["keys"]),
        ("CHRONOPROF_DATA_DIR", "/proc/nowhere", ["data directory", "save directory"]),
        ("CHRONOPROF_SAVE_DIR", "/proc/nowhere", ["save directory"]),
        ("CHRONOPROF_URL", "http://127.0.0.1:1", ["sidecar"]),
        ("CHRONOPROF_URL", "nonsense", ["sidecar"]),
        ("CHRONOPROF_API_KEY", "", ["api key"]),
    ],
)
def test_a_failure_is_found_and_the_rest_still_checked(
    healthy: Run, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, failed: list[str]
) -> None:
    """One thing that is wrong does not hide what else is right or wrong, unless that depends on it."""
    monkeypatch.setenv(setting, value)

    ran = healthy("check", "--json")

    checks = json.loads(ran.out)["checks"]
    assert ran.code == 1
    assert failed == [check["name"] for check in checks if not check["ok"]]
    assert len(checks) >= 3


@pytest.mark.parametrize("url", ["postgresql://me:hush-hush@127.0.0.1:1/none", "postgresql://me:hush-hush@[/none"])
def test_a_database_is_checked_in_place_of_directories(healthy: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Where the store is a database, no directory is looked at; one that is away fails, and no password is told."""
    monkeypatch.setenv("CHRONOPROF_STORE", url)
    monkeypatch.setenv("CHRONOPROF_DATA_DIR", "/proc/nowhere")

    ran = healthy("check", "--json")

    checks = {check["name"]: check["ok"] for check in json.loads(ran.out)["checks"]}
    assert ran.code == 1
    assert checks == {"settings": True, "keys": True, "database": False, "sidecar": True, "api key": True}
    assert "hush" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("status", "ok", "detail"),
    [(403, True, "known, may only send timings (from CHRONOPROF_API_KEY)"), (401, False, "401 ")],
)
def test_the_role_of_the_key_is_told(healthy: Run, sidecar: StandIn, status: int, *, ok: bool, detail: str) -> None:
    """A key that may not look is known all the same; one that nobody issued is a failure."""
    sidecar.answer(DATA, b"", status=status)

    found = json.loads(healthy("check", "--json").out)["checks"][-1]

    assert (found["name"], found["ok"]) == ("api key", ok)
    assert found["detail"].startswith(detail)


def test_a_sidecar_that_is_not_ready_says_why(healthy: Run, sidecar: StandIn) -> None:
    """The reason of readiness is shown."""
    sidecar.answer(READY, b'{"error": {"code": "unavailable", "message": "draining"}}', status=503)

    ran = healthy("check")

    assert ran.code == 1
    assert ran.out.splitlines()[-1] == "FAILED  sidecar         503 unavailable: draining"


def test_ignored_names_are_told_and_flags_are_checked(healthy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check takes the flags of `serve`, and says what `serve` would only log."""
    monkeypatch.setenv("CHRONOPROF_SERVICE_HOST", "10.0.0.1")

    out = healthy("check", "--data-dir", "elsewhere").out

    assert "CHRONOPROF_SERVICE_HOST in the environment is no setting and is ignored" in out
    assert "/elsewhere can be made" in out
