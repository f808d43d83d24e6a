"""Keys and roles: what opens what, what stays secret, and how guessing is slowed."""

import gc
import logging
from pathlib import Path

import pytest

from chronoprof_sidecar.auth import (
    MAX_ADDRESSES,
    BadKeyLimiter,
    Role,
    digest_text,
    generate_key,
    load_keyring,
    reload_keyring,
)
from chronoprof_sidecar.errors import SettingsError, TooManyBadKeysError
from chronoprof_sidecar.settings import Settings

ADMIN = "admin-key-0123456789"
READ = "read-key-0123456789"
INGEST = "ingest-key-0123456789"


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (Role.ADMIN, {Role.ADMIN, Role.READ, Role.INGEST}),
        (Role.READ, {Role.READ}),
        (Role.INGEST, {Role.INGEST}),
    ],
)
def test_an_admin_may_do_everything_and_others_one_thing(role: Role, allowed: set[Role]) -> None:
    """Reading and ingesting are apart; only an admin has both."""
    assert allowed == {required for required in Role if role.may(required)}


def test_every_key_has_the_role_it_was_given_under() -> None:
    """Several keys of one role live side by side, as a rotation needs."""
    settings = Settings(admin_keys=(ADMIN, ADMIN + "-next"), read_keys=(READ,), ingest_keys=(INGEST,))

    keyring = load_keyring(settings)

    keys = [ADMIN, ADMIN + "-next", READ, INGEST]
    assert [keyring.role_of(key) for key in keys] == [Role.ADMIN, Role.ADMIN, Role.READ, Role.INGEST]
    assert [keyring.count(role) for role in Role] == [2, 1, 1]


@pytest.mark.parametrize(
    "key", ["", ADMIN[:-1], ADMIN + " ", ADMIN.upper(), digest_text(ADMIN), "\udcff" * 20, "ü" * 20]
)
def test_what_nobody_issued_has_no_role(key: str) -> None:
    """Neither a key nearly right, nor the digest itself, nor bytes that are no text open anything."""
    assert load_keyring(Settings(admin_keys=(ADMIN,))).role_of(key) is None


@pytest.mark.parametrize("upper", [False, True])
def test_a_digest_stands_for_its_key(*, upper: bool) -> None:
    """A server that was given only `sha256:` and the digest knows the key when it comes."""
    hexadecimal = digest_text(ADMIN).removeprefix("sha256:")
    entry = f"sha256:{hexadecimal.upper() if upper else hexadecimal}"

    assert load_keyring(Settings(admin_keys=(entry,))).role_of(ADMIN) is Role.ADMIN


def test_the_keyring_keeps_no_key() -> None:
    """No object that the keyring reaches holds a key's text, nor does its repr."""
    keyring = load_keyring(Settings(admin_keys=(ADMIN,), read_keys=(READ,)))

    reachable: list[object] = [keyring]
    for each in reachable:
        reachable += [other for other in gc.get_referents(each) if isinstance(other, (tuple, dict, str, bytes))]
    texts = [each for each in reachable if isinstance(each, str)]
    assert not [text for text in [*texts, repr(keyring)] if ADMIN in text or READ in text]
    assert repr(keyring) == "Keyring(admin=1, read=1, ingest=0)"


def test_keys_in_files_are_read_one_a_line(tmp_path: Path) -> None:
    """Files and lists add up; blank lines and Windows line ends do not count, commas are part of a key."""
    (tmp_path / "keys").write_bytes(f"{ADMIN}\r\n\r\n{ADMIN},with,commas\n".encode())

    keyring = load_keyring(Settings(admin_keys_file=tmp_path / "keys", read_keys=(READ,)))

    assert [keyring.role_of(key) for key in (ADMIN, f"{ADMIN},with,commas", READ)] == [
        Role.ADMIN,
        Role.ADMIN,
        Role.READ,
    ]


def test_without_an_admin_key_the_message_names_the_command() -> None:
    """There is no mode without keys, but there is a way to make them."""
    with pytest.raises(SettingsError, match=r"no admin key .*`chronoprof keys --write \.env`"):
        load_keyring(Settings(read_keys=(READ,)))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("tooshort-012345", "key 2 of CHRONOPROF_ADMIN_KEYS must have 16 or more characters, all of them printable"),
        ("with\x1bcontrol-0123456789", "key 2 of CHRONOPROF_ADMIN_KEYS must have 16 or more characters, all of them"),
        ("sha256:0123456789abcdef", "key 2 of CHRONOPROF_ADMIN_KEYS must have 64 hexadecimal digits after sha256:"),
        (READ, "line 1 of .* is also a key of the role admin"),
    ],
)
def test_a_bad_key_is_refused_by_place_not_by_value(tmp_path: Path, bad: str, message: str) -> None:
    """The message leads to the key without showing any of it."""
    (tmp_path / "keys").write_text(READ)

    with pytest.raises(SettingsError, match=message) as caught:
        load_keyring(Settings(admin_keys=(ADMIN, bad), read_keys_file=tmp_path / "keys"))
    assert bad[7:] not in str(caught.value)


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\xff" * 20, "not UTF-8")])
def test_an_unreadable_key_file_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A key file that cannot be read stops the start; it does not count as empty."""
    if content is not None:
        (tmp_path / "keys").write_bytes(content)

    with pytest.raises(SettingsError, match=f"CHRONOPROF_READ_KEYS_FILE.*{reason}"):
        load_keyring(Settings(admin_keys=(ADMIN,), read_keys_file=tmp_path / "keys"))


def test_a_reload_takes_the_new_keys(tmp_path: Path) -> None:
    """After a rotation the new key opens and the removed one no longer does."""
    path = tmp_path / "keys"
    path.write_text(ADMIN)
    settings = Settings(admin_keys_file=path)
    keyring = load_keyring(settings)
    path.write_text(f"{ADMIN}-next")

    reloaded = reload_keyring(keyring, settings)

    assert [reloaded.role_of(key) for key in (ADMIN, f"{ADMIN}-next")] == [None, Role.ADMIN]


@pytest.mark.parametrize("bad", ["", "short", f"{ADMIN}\nshort"])
def test_a_reload_of_a_bad_file_keeps_the_old_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture, bad: str) -> None:
    """A mistake in a key file locks nobody out and lets nobody in, and the log says what is wrong."""
    path = tmp_path / "keys"
    path.write_text(ADMIN)
    settings = Settings(admin_keys_file=path)
    keyring = load_keyring(settings)
    path.write_text(bad)

    with caplog.at_level(logging.ERROR):
        assert reload_keyring(keyring, settings) is keyring
    assert "CHRONOPROF_ADMIN_KEYS" in caplog.text
    assert ADMIN not in caplog.text


@pytest.mark.parametrize("role", Role)
def test_a_generated_key_shows_its_role_and_is_accepted(role: Role) -> None:
    """Keys carry a recognisable prefix and 256 random bits, and never repeat."""
    keys = {generate_key(role) for _ in range(100)}

    assert len(keys) == 100
    assert {(key.startswith(f"chp_{role}_"), len(key)) for key in keys} == {(True, len(f"chp_{role}_") + 43)}
    assert load_keyring(Settings(admin_keys=tuple(keys))).count(Role.ADMIN) == 100


def test_the_eleventh_bad_key_within_a_minute_is_too_many() -> None:
    """Ten bad keys are mistakes; more from one address are guesses, and others are not blamed."""
    clock = Clock()
    limiter = BadKeyLimiter(clock)
    for _ in range(10):
        limiter.record("10.0.0.1")
        clock.now += 5

    with pytest.raises(TooManyBadKeysError) as caught:
        limiter.record("10.0.0.1")
    # The second of the eleven times was 45 s ago: once it is a minute old, one more makes ten within the minute.
    assert caught.value.retry_after_seconds == 15
    limiter.record("10.0.0.2")


def test_bad_keys_are_forgiven_after_a_minute() -> None:
    """Whoever waits as long as told may try again; whoever does not stays refused."""
    clock = Clock()
    limiter = BadKeyLimiter(clock)
    for _ in range(10):
        limiter.record("10.0.0.1")
    clock.now += 59.999
    with pytest.raises(TooManyBadKeysError):
        limiter.record("10.0.0.1")

    clock.now += 1
    limiter.record("10.0.0.1")


def test_an_ipv6_network_is_one_guesser() -> None:
    """Whoever has an address of IPv6 has 2^64 of them: they count together, and the next network counts apart."""
    limiter = BadKeyLimiter(Clock())
    for number in range(10):
        limiter.record(f"2001:db8:0:1:{number:x}::1")

    with pytest.raises(TooManyBadKeysError):
        limiter.record("2001:db8:0:1:ffff::")
    limiter.record("2001:db8:0:2::1")
    limiter.record("fe80::1%eth0")


def test_the_memory_of_bad_keys_is_bounded() -> None:
    """However many addresses guess, only those heard of last are remembered."""
    limiter = BadKeyLimiter(Clock())
    for number in range(MAX_ADDRESSES):
        limiter.record(f"address-{number}")
    limiter.record("address-0")

    limiter.record("newcomer")

    assert len(limiter._times) == MAX_ADDRESSES
    assert ("address-0" in limiter._times, "address-1" in limiter._times) == (True, False)
