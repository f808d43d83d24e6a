"""Who may do what: roles, keys, and the limit on guessing.

Owns the rules of keys. Must not know HTTP, nor how an address or a key arrived. Stdlib-only; the clock comes in.
"""

import hmac
import ipaddress
import logging
import math
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Final

from chronoprof_sidecar.errors import SettingsError, TooManyBadKeysError
from chronoprof_sidecar.settings import PREFIX, Settings

logger = logging.getLogger(__name__)

MIN_KEY_LENGTH: Final = 16
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")


class Role(StrEnum):
    """What a key is for."""

    ADMIN = "admin"
    READ = "read"
    INGEST = "ingest"

    def may(self, required: "Role") -> bool:
        """Say whether a key of this role may do what `required` is needed for; an admin may do everything."""
        return self in {Role.ADMIN, required}


class Keyring:
    """The known keys, as digests: what is in memory opens nothing."""

    def __init__(self, roles: dict[bytes, Role]) -> None:
        """Take the role of each SHA-256 digest; the dict is copied."""
        self._entries = tuple(roles.items())

    def __repr__(self) -> str:
        return f"Keyring({', '.join(f'{role}={self.count(role)}' for role in Role)})"

    def count(self, role: Role) -> int:
        """Return how many keys have this role."""
        return sum(each is role for _, each in self._entries)

    def role_of(self, key: str) -> Role | None:
        """Return the role of `key`, None when nobody issued it.

        Takes the same time whichever entry matches, or none: all are compared, each in constant time.
        """
        presented = _digest(key)
        found: Role | None = None
        for digest, role in self._entries:
            if hmac.compare_digest(digest, presented):
                found = role
        return found


def generate_key(role: Role) -> str:
    """Return a new key: its role to be recognised by, and 256 random bits."""
    return f"chp_{role}_{secrets.token_urlsafe(32)}"


def digest_text(key: str) -> str:
    """Return `sha256:` and the hex digest of `key`, which may stand in a key's place in the settings."""
    return f"sha256:{_digest(key).hex()}"


def load_keyring(settings: Settings) -> Keyring:
    """Read all keys, those in files included.

    Raises:
        SettingsError: no admin key, a key that is too short, not printable or in two roles, or an unreadable file;
            names the setting, never the key.
    """
    roles: dict[bytes, Role] = {}
    for role, source, entry in _entries(settings):
        digest = _parse_entry(entry, source)
        if roles.setdefault(digest, role) is not role:
            raise SettingsError(f"{source} is also a key of the role {roles[digest]}: give each role keys of its own")
    if Role.ADMIN not in roles.values():
        raise SettingsError(f"no admin key in {PREFIX}ADMIN_KEYS: make keys with `chronoprof keys --write .env`")
    return Keyring(roles)


def reload_keyring(current: Keyring, settings: Settings) -> Keyring:
    """Read the keys again, as SIGHUP asks; with anything wrong, say so and go on with `current`."""
    try:
        fresh = load_keyring(settings)
    except SettingsError as error:
        logger.error("keys not reloaded, those from before stay valid: %s", error)
        return current
    logger.info("keys reloaded: %r", fresh)
    return fresh


def _entries(settings: Settings) -> Iterator[tuple[Role, str, str]]:
    """Yield role, description and text of every key."""
    for role, keys, path in (
        (Role.ADMIN, settings.admin_keys, settings.admin_keys_file),
        (Role.READ, settings.read_keys, settings.read_keys_file),
        (Role.INGEST, settings.ingest_keys, settings.ingest_keys_file),
    ):
        name = f"{PREFIX}{role.upper()}_KEYS"
        for number, key in enumerate(keys, 1):
            yield role, f"key {number} of {name}", key
        if path is not None:
            for number, line in enumerate(_read_lines(path, f"{name}_FILE"), 1):
                if line.strip():
                    yield role, f"line {number} of {path} ({name}_FILE)", line.strip()


def _read_lines(path: Path, name: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise SettingsError(f"cannot read {path} ({name}): {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read {path} ({name}): it is not UTF-8 text") from error


def _parse_entry(entry: str, source: str) -> bytes:
    """Return the digest of a key, or the one that stands in its place."""
    if match := _DIGEST.fullmatch(entry):
        return bytes.fromhex(match[1])
    # A digest with a typo must not become a key that reads like a digest.
    if entry.startswith("sha256:"):
        raise SettingsError(f"{source} must have 64 hexadecimal digits after sha256:")
    if len(entry) < MIN_KEY_LENGTH or not entry.isprintable():
        raise SettingsError(f"{source} must have {MIN_KEY_LENGTH} or more characters, all of them printable")
    return _digest(entry)


def _digest(key: str) -> bytes:
    # What arrives in a header may hold surrogates in place of bytes that are not UTF-8; no issued key does.
    return sha256(key.encode("utf-8", "surrogatepass")).digest()


MAX_BAD_KEYS: Final = 10
BAD_KEY_WINDOW_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 4096
"""Addresses, or networks of IPv6, remembered, about 1 KB each; the ones silent longest are forgotten first."""


class BadKeyLimiter:
    """The times of recent bad keys per address; good keys are none of its business and pass meanwhile."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a monotonic clock in seconds."""
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def record(self, address: str) -> None:
        """Count a bad key from `address`.

        Raises:
            TooManyBadKeysError: it is more than the tenth within a minute; `retry_after_seconds` says when the next
                would not be, if none comes until then.
        """
        source = _owner_of(address)
        times = self._times.setdefault(source, deque(maxlen=MAX_BAD_KEYS + 1))
        self._times.move_to_end(source)
        if len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)
        now = self._clock()
        times.append(now)
        if len(times) > MAX_BAD_KEYS and now - times[0] < BAD_KEY_WINDOW_SECONDS:
            wait_seconds = math.ceil(times[1] + BAD_KEY_WINDOW_SECONDS - now)
            raise TooManyBadKeysError("too many unknown keys from this address", retry_after_seconds=wait_seconds)


def _owner_of(address: str) -> str:
    """Return what the holder of `address` cannot change at will.

    Of IPv6 that is the network of 64 bits: every host in it chooses the other 64 as it likes (RFC 4291, 2.5.1).
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # a unix socket has none
    return address if parsed.version == 4 else f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"
