"""Statistics and loss figures as rows of the database, and the statements that add to what is stored.

Adding is the database's own work: whatever else happens to a row meanwhile, what is added is added once. Sums and
counts are NUMERIC, which has no bound. Statements take their rows in the order of names, or two that touch the same
ones could wait for each other.

Buckets are appended, and merged by chance: the more are appended the likelier, so that no row grows for ever and none
has a number at which every addition merges. Reading adds up whatever a bucket's counts are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from random import random
from typing import Any, Final

from asyncpg import Connection, Record

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Selection, Table

WINDOW: Final = 1
"""Kind of what a window counts; its span is the generation."""
MINUTE: Final = 2
"""Kind of what one minute counts; its span is the minute of Unix time."""
HOUR: Final = 3
"""Kind of what those minutes of an hour count that are no longer kept one by one; its span is the hour."""

Place = tuple[int, int]
"""A kind and a span."""

_LOSSES: Final = tuple(field.name for field in fields(Losses))
_FIGURES: Final = "errors, total_ns, min_ns, max_ns, first_seen_ns, last_seen_ns, buckets, counts"
_UNMERGED_BUCKETS: Final = 128
"""So many buckets wait in a row, on the average, until they are merged with those before them.

Merging at every addition was measured to cost 3 to 5 times as much, and an eighth less write-ahead log.
"""
_ADD_TO_ROW: Final = """
    ON CONFLICT (kind, span, function_name, service, version, shard) DO UPDATE SET
        errors = stored.errors + excluded.errors,
        total_ns = stored.total_ns + excluded.total_ns,
        min_ns = least(stored.min_ns, excluded.min_ns),
        max_ns = greatest(stored.max_ns, excluded.max_ns),
        first_seen_ns = least(stored.first_seen_ns, excluded.first_seen_ns),
        last_seen_ns = greatest(stored.last_seen_ns, excluded.last_seen_ns),
        (buckets, counts) = (
            SELECT stored.buckets || excluded.buckets, stored.counts || excluded.counts WHERE NOT {merging}
            UNION ALL
            SELECT array_agg(bucket ORDER BY bucket), array_agg(calls ORDER BY bucket) FROM (
                SELECT bucket, sum(count) AS calls
                FROM unnest(stored.buckets || excluded.buckets, stored.counts || excluded.counts)
                    AS pairs(bucket, count)
                GROUP BY bucket
            ) AS summed HAVING {merging}
        )
"""
_ADD_TO_LOSSES: Final = "ON CONFLICT (kind, span, service, shard) DO UPDATE SET " + ", ".join(
    f"{name} = stored.{name} + excluded.{name}" for name in _LOSSES
)
_BOTH_PLACES: Final = (
    f"(VALUES ({WINDOW}::smallint, $1::bigint), ({MINUTE}::smallint, $2::bigint)) AS place (kind, span)"
)
_ONE_PLACE: Final = "(VALUES ($1::smallint, $2::bigint)) AS place (kind, span)"
_INSERT_ROW: Final = f"""
    INSERT INTO rows AS stored (kind, span, shard, function_name, service, version, {_FIGURES})
    SELECT place.kind, place.span, $3::integer, $4::text, $5::text, $6::text, $7::numeric, $8::numeric,
        $9::bigint, $10::bigint, $11::bigint, $12::bigint, $13::integer[], $14::text::numeric[]
    FROM {{places}}
    {_ADD_TO_ROW.format(merging="$15::boolean")}
"""
_INSERT_LOSSES: Final = f"""
    INSERT INTO losses AS stored (kind, span, shard, service, {", ".join(_LOSSES)})
    SELECT place.kind, place.span, $3::integer, $4::text,
        {", ".join(f"${number}::numeric" for number, _ in enumerate(_LOSSES, 5))}
    FROM {{places}}
    {_ADD_TO_LOSSES}
"""
MOVE_ROWS_TO_HOUR: Final = f"""
    WITH moved AS (DELETE FROM rows WHERE kind = {MINUTE} AND span = $1 RETURNING *)
    INSERT INTO rows AS stored (kind, span, shard, function_name, service, version, {_FIGURES})
    SELECT {HOUR}, $2::bigint, shard, function_name, service, version, {_FIGURES} FROM moved
    ORDER BY function_name, service, version, shard
    {_ADD_TO_ROW.format(merging="true")}
"""
MOVE_LOSSES_TO_HOUR: Final = f"""
    WITH moved AS (DELETE FROM losses WHERE kind = {MINUTE} AND span = $1 RETURNING *)
    INSERT INTO losses AS stored (kind, span, shard, service, {", ".join(_LOSSES)})
    SELECT {HOUR}, $2::bigint, shard, service, {", ".join(_LOSSES)} FROM moved ORDER BY service, shard
    {_ADD_TO_LOSSES}
"""
# The counts as text: asyncpg makes a Decimal of each, which takes ten times as long as reading them here.
ROW_COLUMNS: Final = f"kind, span, function_name, service, version, {_FIGURES.removesuffix('counts')} counts::text"
LOSS_COLUMNS: Final = f"kind, span, service, {', '.join(_LOSSES)}"


async def add_rows(connection: Connection, generation: int, minute: int, shard: int, delta: Table) -> None:
    """Add what `delta` counted to a window and to a minute."""
    await _insert_rows(connection, _BOTH_PLACES, (generation, minute, shard), delta)


async def add_losses(
    connection: Connection, generation: int, minute: int, shard: int, losses: Mapping[str, Losses]
) -> None:
    """Add loss figures per service to a window and to a minute."""
    await _insert_losses(connection, _BOTH_PLACES, (generation, minute, shard), losses)


async def add_to_place(
    connection: Connection, place: Place, shard: int, delta: Table, losses: Mapping[str, Losses]
) -> None:
    """Add rows, and loss figures per service, to a window, a minute or an hour alone."""
    await _insert_rows(connection, _ONE_PLACE, (*place, shard), delta)
    await _insert_losses(connection, _ONE_PLACE, (*place, shard), losses)


def decode_row(record: Record) -> tuple[RowKey, FunctionStatistics]:
    """Return the key and the statistics of a stored row."""
    key = RowKey(record["function_name"], record["service"], record["version"])
    row = FunctionStatistics(record["min_ns"], record["max_ns"], record["first_seen_ns"], record["last_seen_ns"])
    row.errors = int(record["errors"])
    row.total_ns = int(record["total_ns"])
    buckets, counts = record["buckets"], [int(count) for count in record["counts"][1:-1].split(",")]
    for start, end in _ascending_runs(buckets):
        row.histogram.add(buckets[start:end], counts[start:end])
    return key, row


def decode_losses(record: Record) -> Losses:
    """Return stored loss figures."""
    return Losses(*(int(record[name]) for name in _LOSSES))


def conditions(selection: Selection, first_parameter: int) -> tuple[str, list[Any]]:
    """Return what the database itself can select rows by, as SQL that continues a WHERE, and its values."""
    wanted: Iterable[tuple[str, Any]] = (
        ("function_name = ${}", selection.function_name),
        ("service = ${}", selection.service),
        ("version = ${}", selection.version),
        ("function_name = ANY(${}::text[])", None if selection.names is None else sorted(selection.names)),
    )
    given = [(condition, value) for condition, value in wanted if value is not None]
    clauses = [f" AND {condition.format(number)}" for number, (condition, _) in enumerate(given, first_parameter)]
    return "".join(clauses), [value for _, value in given]


def _ascending_runs(buckets: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Return where what was added at a time starts and ends, or several of it that ascend together."""
    starts = [number for number, (before, after) in enumerate(pairwise(buckets), 1) if before >= after]
    return pairwise([0, *starts, len(buckets)])


async def _insert_rows(connection: Connection, places: str, where: tuple[int, int, int], delta: Table) -> None:
    rows = sorted(delta.select(Selection()), key=lambda row: row[0])
    if rows:
        values = [(*where, *key, *_encode(row)) for key, row in rows]
        await connection.executemany(_INSERT_ROW.format(places=places), values)


async def _insert_losses(
    connection: Connection, places: str, where: tuple[int, int, int], losses: Mapping[str, Losses]
) -> None:
    if losses:
        values = [
            (*where, service, *(getattr(each, name) for name in _LOSSES)) for service, each in sorted(losses.items())
        ]
        await connection.executemany(_INSERT_LOSSES.format(places=places), values)


def _encode(row: FunctionStatistics) -> Sequence[Any]:
    """Return the figures as a statement takes them, and at last whether it is to merge the row's buckets."""
    buckets, counts = row.histogram.to_sparse()
    figures = (row.errors, row.total_ns, row.min_ns, row.max_ns, row.first_seen_ns, row.last_seen_ns)
    merging = random() < len(buckets) / _UNMERGED_BUCKETS  # noqa: S311 -- it decides when, not what
    return *figures, buckets, "{" + ",".join(map(str, counts)) + "}", merging
