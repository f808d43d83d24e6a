"""Pages of other sites, names that lead here from elsewhere, and doors that were left open."""

from collections.abc import Iterator
from itertools import product

import pytest

from chronoprof_sidecar.server.app import ROUTES
from tests.attacks.asking import API, ask, with_key
from tests.attacks.test_keys import BATCH, target_of
from tests.process.sidecar import ADMIN_KEY, Sidecar
from tests.proof import Proof

OWN_NAME = "sidecar.internal"
FOREIGN_ORIGINS = [
    *("https://evil.example", "null", "", "http://[", "file://", "http://127.0.0.1", "http://127.0.0.1:1"),
    *("http://127.0.0.1.evil.example:{port}", "http://evil.example:{port}", "http://evil.example/127.0.0.1:{port}"),
    *("http://a@127.0.0.1:{port}", "http://127.0.0.1:{port}@evil.example", "http://localhost:{port}"),
    "https://evil.example http://127.0.0.1:{port}",
]
FOREIGN_HOSTS = [
    *("evil.example", "127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", f"{OWN_NAME}.evil.example"),
    *(
        f"evil.example.{OWN_NAME}",
        f"{OWN_NAME}:{{port}}:1",
        f"{OWN_NAME}.",
        f"a@{OWN_NAME}",
        f"evil.example#{OWN_NAME}",
    ),
]
FORWARDING = (("X-Forwarded-Host", OWN_NAME), ("Forwarded", f"host={OWN_NAME}"), ("X-Host", OWN_NAME))
CHANGING = [route for route in ROUTES if route.method == "POST"]
KEYED = [route for route in ROUTES if route.role is not None]


@pytest.fixture
def sidecar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """A running sidecar with the settings that the test names."""
    running = Sidecar(tmp_path_factory.mktemp("origins"), **getattr(request, "param", {})).start()
    yield running
    running.close()


def state(sidecar: Sidecar, host: str) -> tuple[object, object]:
    """Return what a change would change."""
    reports = [
        ask(sidecar, "GET", f"{API}/{what}", (*with_key(ADMIN_KEY), ("Host", host))) for what in ("data", "saves")
    ]
    assert [reply.status for reply in reports] == [200, 200]
    data, saves = (reply.json() for reply in reports)
    return (data["data"], data["meta"]["generation"]), saves


def test_foreign_pages_change_nothing(sidecar: Sidecar, proof: Proof) -> None:
    """A changing request that a page of another origin makes, with the admin's very key, is a 403 and changes nothing;
    no answer, not even to a browser that asks first, allows such a page anything."""
    host = f"127.0.0.1:{sidecar.port}"
    before = state(sidecar, host)
    cases = list(product(CHANGING, FOREIGN_ORIGINS))
    wrong = []
    for route, origin in cases:
        shown = (("Origin", origin.format(port=sidecar.port)), ("Content-Type", "application/json"))
        replies = {
            403: ask(sidecar, "POST", target_of(route), (*with_key(ADMIN_KEY), *shown), BATCH),
            405: ask(sidecar, "OPTIONS", target_of(route), (*shown, ("Access-Control-Request-Method", "POST"))),
        }
        allowed = [name for reply in replies.values() for name in reply.headers if name.startswith("access-control")]
        if allowed or [reply.status for reply in replies.values()] != list(replies):
            wrong.append((route.path, origin, [reply.status for reply in replies.values()], allowed))
    own = ("Origin", f"http://{host}"), ("Content-Type", "application/json")
    proof.reached("changes asked for", len(cases))
    proof.reached("taken", len(wrong), goal=0)
    assert wrong == []
    assert before == state(sidecar, host)
    assert ask(sidecar, "POST", f"{API}/ingest", (*with_key(ADMIN_KEY), *own), BATCH).status == 200


@pytest.mark.parametrize("sidecar", [{"CHRONOPROF_ALLOWED_HOSTS": OWN_NAME}], indirect=True)
def test_other_names_lead_nowhere(sidecar: Sidecar, proof: Proof) -> None:
    """With CHRONOPROF_ALLOWED_HOSTS a request for any other name, as after DNS rebinding, is a 421 on every route that
    takes a key, whatever name a proxy is said to have been asked for."""
    before = state(sidecar, OWN_NAME)
    cases = list(product(KEYED, FOREIGN_HOSTS))
    wrong = []
    for route, host in cases:
        named = (("Host", host.format(port=sidecar.port)), *FORWARDING, ("Content-Type", "application/json"))
        reply = ask(sidecar, route.method, target_of(route), (*with_key(ADMIN_KEY), *named), BATCH)
        if reply.status != 421:
            wrong.append((route.path, host, reply.status))
    proof.reached("requests", len(cases))
    proof.reached("answered", len(wrong), goal=0)
    assert wrong == []
    assert before == state(sidecar, OWN_NAME)


def test_an_open_door_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A sidecar that listens beyond this machine without TLS says so at its start, and how to add it."""
    for host, said in (("0.0.0.0", True), ("127.0.0.1", False)):
        running = Sidecar(tmp_path_factory.mktemp("door"), host=host).start()
        try:
            assert ("without TLS" in running.log() and "CHRONOPROF_TLS_CERT_FILE" in running.log()) is said
        finally:
            running.close()
