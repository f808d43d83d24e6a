"""Keys: who may do what, what a guesser learns, and how keys are changed under load."""

import hmac
import http.client
import json
import signal
import statistics
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import pytest

from chronoprof_sidecar.auth import MAX_ADDRESSES, MAX_BAD_KEYS, BadKeyLimiter, Keyring, Role, digest_text, generate_key
from chronoprof_sidecar.errors import TooManyBadKeysError
from chronoprof_sidecar.server.app import ROUTES, Route, create_app
from chronoprof_sidecar.server.openapi import read_description
from chronoprof_sidecar.settings import Settings
from tests.attacks.asking import API, Headers, ask, other_addresses, with_key
from tests.process.sidecar import ADMIN_KEY, INGEST_KEY, READ_KEY, Sidecar, wait_until
from tests.proof import Proof
from tests.scale import scaled

KEYS = {Role.ADMIN: ADMIN_KEY, Role.READ: READ_KEY, Role.INGEST: INGEST_KEY}
UNKNOWN_KEY = "chp_admin_" + "u" * 40
PUBLIC = {
    ("GET", path) for path in ("/health", "/health/live", "/health/ready", "/openapi.json", "/", "/dashboard/{asset}")
}
"""Whoever opens another route to everyone has to say so here."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get")
BATCH = json.dumps({"durations": {"f": [0.1]}}).encode()


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """One running sidecar for all that does not restart it."""
    running = Sidecar(tmp_path_factory.mktemp("keys")).start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def addresses() -> Iterator[str]:
    """Fresh addresses, so that no test inherits the bad keys of another."""
    return other_addresses()


@dataclass(frozen=True)
class Credential:
    """What a request may show, and what it is worth: a role, or the status of the refusal."""

    headers: Headers
    worth: Role | int


def bearer(key: str) -> tuple[str, str]:
    """Return the other header that a key may stand in."""
    return "Authorization", f"Bearer {key}"


def credentials() -> Iterator[Credential]:
    """Yield no key, keys that nobody issued, a key of each role in each place, and keys that differ."""
    yield Credential((), 401)
    yield Credential((("X-API-Key", ""),), 401)
    yield Credential((("Cookie", f"X-API-Key={ADMIN_KEY}"),), 401)
    yield Credential((("Authorization", ADMIN_KEY),), 401)
    yield Credential((("Authorization", f"Basic {ADMIN_KEY}"),), 401)
    for wrong in (UNKNOWN_KEY, ADMIN_KEY[:-1], ADMIN_KEY + "a", ADMIN_KEY.upper(), digest_text(ADMIN_KEY), "*", "\xff"):
        yield Credential(with_key(wrong), 401)
        yield Credential((bearer(wrong),), 401)
    for role, key in KEYS.items():
        yield Credential(with_key(key), role)
        yield Credential((bearer(key),), role)
        yield Credential((("AUTHORIZATION", f"bearer {key}"),), role)
        yield Credential((*with_key(key), bearer(key)), role)
    for first, second in permutations((*KEYS.values(), UNKNOWN_KEY), 2):
        yield Credential((*with_key(first), bearer(second)), 400)
        yield Credential((*with_key(first), *with_key(second)), 400)
        yield Credential((bearer(first), bearer(second)), 400)


def target_of(route: Route) -> str:
    """Return a path that the route matches."""
    return route.path.replace("{asset}", "main.js").replace("{name}", "none.json")


def is_right(route: Route, worth: Role | int, status: int) -> bool:
    """Say whether the answer to a credential of this worth is the one that the route's role asks for."""
    if route.role is None:
        return status == 200
    if isinstance(worth, int):
        return status == worth
    if worth in (Role.ADMIN, route.role):
        return status < 500 and status not in {401, 403, 421, 429}
    return status == 403


def test_no_route_is_forgotten() -> None:
    """The table of routes, the application's router and the OpenAPI description name the same routes, and the public
    ones are those that this test lists."""
    served = {
        (route.method, route.resource.canonical)
        for route in create_app(Settings(admin_keys=(ADMIN_KEY,))).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    description: dict[str, Any] = json.loads(read_description())
    described = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
    listed = {(route.method, route.path): route.role for route in ROUTES}

    assert set(listed) == served == described
    assert {route for route, role in listed.items() if role is None} == PUBLIC
    assert len({route.handler for route in ROUTES if route.role is None} & {r.handler for r in ROUTES if r.role}) == 0


def test_the_role_matrix(sidecar: Sidecar, addresses: Iterator[str], proof: Proof) -> None:
    """Every route answers every kind of key in every place, and no key, as its role says."""
    cases = list(product(ROUTES, credentials()))
    wrong = []
    for route, credential in cases:
        ingests = route.path.endswith("/ingest")
        headers = (*credential.headers, ("Content-Type", "application/json")) if ingests else credential.headers
        reply = ask(
            sidecar,
            route.method,
            target_of(route),
            headers,
            BATCH if ingests else None,
            address=next(addresses) if credential.worth == 401 else "127.0.0.1",
        )
        if not is_right(route, credential.worth, reply.status) or "access-control-allow-origin" in reply.headers:
            wrong.append((route.method, route.path, credential, reply.status))
    proof.reached("decisions", len(cases))
    proof.reached("wrong", len(wrong), goal=0)
    assert wrong == []


def spellings(path: str) -> Iterator[str]:
    """Yield other ways to write `path`, which some parser might take for it, and others not."""
    first, _, rest = path.removeprefix("/").partition("/")
    yield from (path, f"{path}/", f"/{path}", f"{path}/.", f"/./{first}/{rest}", f"/health/../{first}/{rest}")
    yield from (f"/%{ord(first[0]):02x}{first[1:]}/{rest}", f"/{first}%2f{rest}", path.upper(), f"{path};x=1")
    yield from (f"{path}%00", f"{path}?X-API-Key={ADMIN_KEY}", f"http://127.0.0.1{path}", f"/health%2f..{path}")


def test_no_spelling_opens_a_route(sidecar: Sidecar, proof: Proof) -> None:
    """Without a key no method and no way to write a path reaches a handler that needs one, nor do the headers by which
    frameworks and proxies let a request pass for another."""
    generation = sidecar.request("GET", f"{API}/data")[1]["meta"]["generation"]
    keyed = [target_of(route) for route in ROUTES if route.role is not None]
    cases = [(method, spelling) for path in dict.fromkeys(keyed) for method in METHODS for spelling in spellings(path)]
    opened = [
        (method, spelling, status)
        for method, spelling in cases
        if (status := ask(sidecar, method, spelling).status) not in {400, 401, 404, 405}
    ]
    for path, name in product(keyed, ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix")):
        assert ask(sidecar, "GET", "/health", ((name, path),)).json() == {"status": "ok"}
    assert ask(sidecar, "GET", f"{API}/reset", (("X-HTTP-Method-Override", "POST"),)).status == 405
    proof.reached("spellings", len(cases))
    proof.reached("opened", len(opened), goal=0)
    assert opened == []
    assert generation == sidecar.request("GET", f"{API}/data")[1]["meta"]["generation"]


@pytest.mark.parametrize("position", [0, 49, 99, None])
def test_every_entry_is_compared(monkeypatch: pytest.MonkeyPatch, position: int | None) -> None:
    """A key is compared with all entries, digest against digest and in constant time, wherever it stands or not."""
    keys = [generate_key(Role.READ) for _ in range(100)]
    keyring = Keyring({bytes.fromhex(digest_text(key).removeprefix("sha256:")): Role.READ for key in keys})
    compared = []
    compare_digest = hmac.compare_digest

    def counting(known: bytes, presented: bytes) -> bool:
        compared.append((len(known), len(presented)))
        return compare_digest(known, presented)

    monkeypatch.setattr(hmac, "compare_digest", counting)

    role = keyring.role_of(UNKNOWN_KEY if position is None else keys[position])

    assert role is (None if position is None else Role.READ)
    assert [(32, 32)] * 100 == compared


def test_time_tells_nothing(proof: Proof) -> None:
    """A right key is found in the same time wherever it stands, and a wrong one, long or short, refused in it."""
    keys = [generate_key(Role.READ) for _ in range(30)]
    keyring = Keyring({bytes.fromhex(digest_text(key).removeprefix("sha256:")): Role.READ for key in keys})
    asked = {"first": keys[0], "last": keys[-1], "nearly": keys[0][:-1] + "!", "unknown": generate_key(Role.READ)}
    times: dict[str, list[int]] = {name: [] for name in asked}
    for _ in range(scaled(500, full=20_000)):
        for name, key in asked.items():  # interleaved, so that whatever else happens on the machine happens to all
            began = time.perf_counter_ns()
            keyring.role_of(key)
            times[name].append(time.perf_counter_ns() - began)
    medians = {name: statistics.median(each) for name, each in times.items()}
    spread = (max(medians.values()) - min(medians.values())) / min(medians.values())
    proof.reached("medians", ", ".join(f"{name} {median / 1000:.2f} µs" for name, median in medians.items()))
    proof.reached("largest difference", f"{spread:.1%}")
    assert {name: keyring.role_of(key) for name, key in asked.items()} == {
        "first": Role.READ,
        "last": Role.READ,
        "nearly": None,
        "unknown": None,
    }


def test_guessing(sidecar: Sidecar, addresses: Iterator[str], proof: Proof) -> None:
    """From the eleventh bad key within a minute an address gets 429 with Retry-After, whatever it claims to forward for
    whom; good keys from it and bad ones from others are answered as ever."""
    guessers = [next(addresses) for _ in range(scaled(3, full=50))]
    refused_honest = 0
    for address in guessers:
        for number in range(MAX_BAD_KEYS + 3):
            forged = (("X-Forwarded-For", f"10.0.0.{number}"), ("Forwarded", f"for=10.0.0.{number}"))
            guess = with_key(f"chp_admin_guess-{number}") if number % 2 else (bearer(f"chp_admin_guess-{number}"),)
            reply = ask(sidecar, "GET", f"{API}/data", (*guess, *forged), address=address)
            assert reply.status == (401 if number < MAX_BAD_KEYS else 429)
            honest = ask(sidecar, "GET", f"{API}/data?limit=1", with_key(READ_KEY), address=address)
            refused_honest += honest.status != 200
        assert 0 < int(reply.headers["retry-after"]) <= 60
        assert reply.json()["error"]["code"] == "too_many_bad_keys"
        assert ask(sidecar, "GET", f"{API}/data", address=address).status == 401  # no key is no guess
    assert ask(sidecar, "GET", f"{API}/data", with_key(UNKNOWN_KEY), address=next(addresses)).status == 401
    proof.reached("guessing addresses", len(guessers))
    proof.reached("honest requests refused", refused_honest, goal=0)
    assert refused_honest == 0


def test_guessers_cost_little(proof: Proof) -> None:
    """However many addresses guess, of IPv4 and of IPv6, what is remembered of them stays within 8 MiB."""
    limiter = BadKeyLimiter(lambda: 0.0)
    tracemalloc.start()
    for number in range(scaled(6_000, full=50_000)):
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" if number % 2 else f"2001:db8:{number:x}::1"
        for _ in range(1 if number % 50 else MAX_BAD_KEYS):
            limiter.record(address)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    proof.reached("memory", f"{used / 2**20:.1f} MiB", goal="8 MiB")
    assert len(limiter._times) == MAX_ADDRESSES
    assert used < 8 * 2**20
    for _ in range(MAX_BAD_KEYS):
        limiter.record("10.255.255.255")
    with pytest.raises(TooManyBadKeysError):
        limiter.record("10.255.255.255")


class Asker(threading.Thread):
    """An honest client on one connection, which shows whatever key it is told to have."""

    def __init__(self, sidecar: Sidecar, keys: "Holder", *, ingests: bool) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", sidecar.port, timeout=30)
        self._keys = keys
        self._ingests = ingests
        self.answered = 0
        self.last_key = ""
        self.refused: list[int] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        """Ask until told to stop."""
        while not self.stopping.is_set():
            key = self._keys.current
            headers = {"X-API-Key": key, "Content-Type": "application/json"}
            if self._ingests:
                self._connection.request("POST", f"{API}/ingest", BATCH, headers)
            else:
                self._connection.request("GET", f"{API}/data?limit=1", headers=headers)
            answer = self._connection.getresponse()
            answer.read()
            if answer.status != 200:
                self.refused.append(answer.status)
            self.answered += 1
            self.last_key = key
        self._connection.close()


class Holder:
    """The key that honest clients have now."""

    def __init__(self, key: str) -> None:
        self.current = key


def test_rotation(tmp_path: Path, proof: Proof) -> None:
    """Keys are changed by SIGHUP under load: while both are listed both are valid, the removed one is refused at once,
    also on open connections; a bad file changes nothing; no honest request is refused."""
    path = tmp_path / "keys"
    holder = Holder(generate_key(Role.ADMIN))
    path.write_text(holder.current)
    running = Sidecar(tmp_path / "sidecar", CHRONOPROF_ADMIN_KEYS="", CHRONOPROF_ADMIN_KEYS_FILE=str(path)).start()
    askers = [Asker(running, holder, ingests=ingests) for ingests in (False, True, True)]
    addresses = other_addresses()

    def reload(content: str, said: str) -> None:
        seen = running.log().count(said)
        path.write_text(content)
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: running.log().count(said) > seen, said)

    def statuses(*keys: str) -> list[int]:
        address = next(addresses)
        return [ask(running, "GET", f"{API}/saves", with_key(key), address=address).status for key in keys]

    try:
        for asker in askers:
            asker.start()
        rotations = scaled(2, full=25)
        for _ in range(rotations):
            old, new = holder.current, generate_key(Role.ADMIN)
            reload(f"{old}\n{new}\n", "keys reloaded")
            assert statuses(old, new) == [200, 200]
            for bad in ("", "tooshort", f"{new}\n{READ_KEY}", f"{new}\nsha256:beef"):
                reload(bad, "keys not reloaded")
                assert statuses(old, new, UNKNOWN_KEY) == [200, 200, 401]
            holder.current = new
            wait_until(lambda new=new: all(asker.last_key == new for asker in askers), "all have the new key")
            reload(f"{new}\n", "keys reloaded")
            assert statuses(old, new) == [401, 200]
        for asker in askers:
            asker.stopping.set()
        for asker in askers:
            asker.join(30)
        proof.reached("rotations", rotations)
        proof.reached("honest requests", sum(asker.answered for asker in askers))
        proof.reached("refused", sum(len(asker.refused) for asker in askers), goal=0)
        assert [asker.refused for asker in askers] == [[], [], []]
        assert not any(asker.is_alive() for asker in askers)
    finally:
        running.close()
