"""Bodies that an attacker would try; those against the decoder alone are in `tests/wire/test_hostile_bodies.py`."""

import gzip
import json
import zlib
from collections.abc import Iterator
from random import Random
from typing import Final, NamedTuple

from tests.wire.test_hostile_bodies import HOSTILE_TOKENS, REFUSED, REJECTED, SEED_BODY

JSON: Final = "application/json"
LONG_NAME: Final = b"\x1f\x8b\x08\x08" + b"\0" * 6 + b"n" * 100_000
GOOD: Final = b'{"durations":{"attacked":[0.25]}}'


class Attack(NamedTuple):
    """One request to the ingest route."""

    name: str
    body: bytes
    content_type: str = JSON
    encoding: str = ""


def fixed_attacks() -> list[Attack]:
    """Return every attack that is known by name."""
    bomb = gzip.compress(b'{"durations":{"a":[' + b" " * 200_000_000 + b"1]}}", 9)
    member = gzip.compress(b"")
    deflated = zlib.compress(GOOD)
    compressed = gzip.compress(GOOD)
    many_names = json.dumps({"durations": {f"{number}" * 60: [1.0] for number in range(3000)}}).encode()
    return [
        *(Attack(name, body) for name, body in REFUSED.items()),
        *(Attack(name, f"{{{form}}}".encode()) for name, (form, _) in REJECTED.items()),
        Attack("a gzip bomb", bomb, encoding="gzip"),
        Attack("a gzip bomb in a gzip bomb", gzip.compress(bomb), encoding="gzip"),
        Attack("30 000 empty gzip members", member * 30_000, encoding="gzip"),
        Attack("empty gzip members before a body", member * 1000 + compressed, encoding="gzip"),
        Attack("two gzip members", compressed * 2, encoding="gzip"),
        Attack("half a gzip member", compressed[:-9], encoding="gzip"),
        Attack("a gzip member with a wrong checksum", compressed[:-8] + b"\0" * 8, encoding="gzip"),
        Attack("a gzip member with something after it", compressed + b"x", encoding="gzip"),
        Attack("a gzip member with a long name", LONG_NAME, encoding="gzip"),
        Attack("no gzip at all", GOOD, encoding="gzip"),
        Attack("gzip that is not said", compressed),
        Attack("deflate", deflated, encoding="deflate"),
        Attack("gzip twice", gzip.compress(compressed), encoding="gzip, gzip"),
        Attack("brotli", GOOD, encoding="br"),
        Attack("UTF-16 that is said", GOOD.decode().encode("utf-16"), f"{JSON}; charset=utf-16"),
        Attack("UTF-7", GOOD, f"{JSON}; charset=utf-7"),
        Attack("a charset that there is not", GOOD, f"{JSON}; charset=\xff"),
        Attack("a form", b"durations=1", "application/x-www-form-urlencoded"),
        Attack("a multipart body", b"--x\r\n\r\n{}\r\n--x--", "multipart/form-data; boundary=x"),
        Attack("no type", GOOD, ""),
        Attack("more than a body may be", b" " * (1024 * 1024 + 1)),
        Attack("as many blanks as a body may be", b" " * (1024 * 1024)),
        Attack("a megabyte of brackets", b"[" * (1024 * 1024)),
        Attack("a megabyte of one string", b'"' + b"a" * (1024 * 1024 - 2) + b'"'),
        Attack("a megabyte of digits", b"9" * (1024 * 1024)),
        Attack("a megabyte of quotes", b'"' * (1024 * 1024)),
        Attack("a megabyte of refused samples", b'{"samples":[' + b"5," * 500_000 + b"5]}"),
        Attack("a megabyte of the same key", b"{" + b'"final":1,' * 100_000 + b'"final":1}'),
        Attack("names that are too long", many_names.replace(b"00", b"0" * 9)[: 1024 * 1024]),
    ]  # fmt: skip


def mutated_attacks(random: Random, count: int) -> Iterator[Attack]:
    """Yield bodies that were right until some of their bytes were changed, cut, doubled or replaced by hostile ones."""
    for number in range(count):
        body = bytearray(SEED_BODY)
        for _ in range(random.randint(1, 6)):
            _mutate(body, random)
        mutated = bytes(body)
        if random.random() < 0.2:
            mutated = gzip.compress(mutated, 1)
            yield Attack(f"mutation {number}, compressed", _damaged(mutated, random), encoding="gzip")
        else:
            yield Attack(f"mutation {number}", mutated)


def _mutate(body: bytearray, random: Random) -> None:
    start = random.randrange(len(body) + 1)
    end = min(len(body), start + random.choice((0, 1, 1, 3, 20)))
    change = random.randrange(4)
    if change == 0:
        body[start:end] = random.choice(HOSTILE_TOKENS)
    elif change == 1:
        body[start:end] = random.randbytes(end - start)
    elif change == 2:
        body[start:start] = body[start:end] * random.choice((1, 2, 50))
    else:
        del body[start:end]


def _damaged(compressed: bytes, random: Random) -> bytes:
    if random.random() < 0.5:
        return compressed
    place = random.randrange(len(compressed))
    return compressed[:place] + random.randbytes(1) + compressed[place + 1 :]
