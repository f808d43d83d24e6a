"""Senders as rows of the database: claimed by whoever is about to judge their batches, and written by that claim.

A claim is an UPDATE even where nothing will be counted. After a failover the old primary may have shown a batch that no
standby ever had; a duplicate answered from a mere look at it would acknowledge what is lost. A duplicate whose answer
waits for a commit of its own is on the quorum, and whatever it looked at with it.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import msgspec
from asyncpg import Connection, Record

from chronoprof_sidecar.domain.batch import ItemError
from chronoprof_sidecar.domain.senders import (
    EVICTABLE_AFTER_MINUTES,
    REMEMBERED_ENDED_MINUTES,
    REMEMBERED_MINUTES,
    Sender,
)

_encode = msgspec.msgpack.encode
_decode_errors = msgspec.msgpack.Decoder(tuple[ItemError, ...]).decode

_NUMERIC: Final = ("accepted", "calls", "dropped", "rejected", "unknown")
_COLUMNS: Final = ", ".join(Sender._fields)
_CLAIM: Final = f"""
    INSERT INTO senders AS known (id) SELECT id FROM unnest($1::text[]) AS asked(id) ORDER BY id COLLATE "C"
    ON CONFLICT (id) DO UPDATE SET seq = known.seq
    RETURNING {_COLUMNS}
"""
_REMEMBER: Final = (
    "UPDATE senders SET "
    + ", ".join(f"{name} = ${number}" for number, name in enumerate(Sender._fields[1:], 2))
    + " WHERE id = $1"
)
_EVICT: Final = """
    DELETE FROM senders WHERE id IN (
        SELECT id FROM senders WHERE active_minute <= $1 AND seq > 0 AND NOT id = ANY($2::text[])
        ORDER BY final DESC, active_minute LIMIT $3 FOR UPDATE SKIP LOCKED
    ) RETURNING id
"""


async def claim(connection: Connection, ids: Collection[str]) -> dict[str, Sender]:
    """Hold these senders until the transaction ends, and return those that are known."""
    if not ids:
        return {}
    records = await connection.fetch(_CLAIM, sorted(ids))
    return {record["id"]: _decode(record) for record in records if record["seq"]}


async def count(connection: Connection) -> int:
    """Return how many senders there are, those that the transaction has claimed included; without counting them."""
    senders: int = await connection.fetchval("SELECT coalesce(sum(senders), 0)::bigint FROM sender_counts")
    return senders


async def make_room(  # noqa: PLR0913  who wants it, and what bounds it
    connection: Connection, claimed: Collection[str], unknown: int, newcomers: int, *, limit: int, minute: int
) -> int:
    """Return how many of so many newcomers there is room for, having forgotten others for it where that is due.

    Newcomers are some of the claimed that are unknown; the others will not be kept. Replicas that do this at the same
    moment do not see each other's newcomers: the limit may be passed by as many.
    """
    if not newcomers:
        return 0
    excess = await count(connection) - unknown + newcomers - limit
    if excess <= 0:
        return newcomers
    evicted = await connection.fetch(_EVICT, minute - EVICTABLE_AFTER_MINUTES, list(claimed), excess)
    return max(0, newcomers - excess + len(evicted))


async def remember(connection: Connection, senders: Mapping[str, Sender], claimed: Collection[str]) -> None:
    """Write what claimed senders have become; of those that are still unknown nothing stays."""
    values = [_values(senders[sender_id]) for sender_id in sorted(senders)]
    if values:
        await connection.executemany(_REMEMBER, values)
    if len(senders) < len(claimed):
        await connection.execute("DELETE FROM senders WHERE id = ANY($1::text[]) AND seq = 0", list(claimed))


async def forget(connection: Connection, minute: int) -> None:
    """Forget who was silent too long at service minute `minute`."""
    await connection.execute(
        "DELETE FROM senders WHERE id IN (SELECT id FROM senders WHERE seq > 0"
        " AND (active_minute <= $1 OR (final AND active_minute <= $2)) FOR UPDATE SKIP LOCKED)",
        minute - REMEMBERED_MINUTES,
        minute - REMEMBERED_ENDED_MINUTES,
    )


async def read_senders(connection: Connection) -> list[Sender]:
    """Return every remembered sender, the one silent longest first: sorting what is sorted costs an answer little."""
    records = await connection.fetch(f"SELECT {_COLUMNS} FROM senders ORDER BY active_minute, last_batch_ns, id")
    return [_decode(record) for record in records]


def _values(sender: Sender) -> Iterable[Any]:
    return [_encode(value) if name == "errors" else value for name, value in sender._asdict().items()]


def _decode(record: Record) -> Sender:
    errors = _decode_errors(record["errors"]) if record["errors"] else ()
    numbers = {name: int(record[name]) for name in _NUMERIC}
    return Sender(**{**record, **numbers, "errors": errors})
