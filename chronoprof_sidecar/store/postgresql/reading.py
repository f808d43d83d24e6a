"""Reading the window and the history: as of one instant, all shards summed.

Each runs in a transaction of its caller that sees one state of the database, so what moves from minutes to hours
meanwhile is neither missed nor met twice.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from asyncpg import Connection, Record

from chronoprof_sidecar.domain.history import History, HistoryQuery, Span
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.table import Selection, Table
from chronoprof_sidecar.store.postgresql.rows import (
    LOSS_COLUMNS,
    ROW_COLUMNS,
    WINDOW,
    Place,
    conditions,
    decode_losses,
    decode_row,
)

_ROWS_AT_ONCE: Final = 1000
"""Some milliseconds on the event loop, and all that is held of the database's answer."""


async def read_window(connection: Connection, selection: Selection, taken_ns: int) -> Snapshot:
    """Return the window's rows that are asked for; `taken_ns` is now."""
    generation, start_ns = await connection.fetchrow("SELECT generation, start_ns FROM current_window")
    services = await connection.fetch("SELECT DISTINCT service FROM names WHERE generation = $1", generation)
    losses: dict[str, Losses] = {}
    for record in await _fetch_losses(connection, [(WINDOW, generation)]):
        losses.setdefault(record["service"], Losses()).merge(decode_losses(record))
    table = Table()
    async for records in _fetch_rows(connection, [(WINDOW, generation)], selection):
        await asyncio.to_thread(_sum, records, selection, table)
    rows = list(table.select(Selection()))
    # Clocks go back, and those of replicas differ: a window begins no later than what it counts.
    return Snapshot(
        generation=generation,
        window_start_ns=min([start_ns, taken_ns, *(row.first_seen_ns for _, row in rows)]),
        taken_ns=taken_ns,
        services=sorted({service for (service,) in services} | losses.keys()),
        rows=rows,
        losses={service: each for service, each in losses.items() if selection.covers_losses(service)},
    )


async def read_history(connection: Connection, query: HistoryQuery, max_functions: int) -> History:
    """Return the steps of a span."""
    kept = {
        (kind, number): Span(first, end)
        for kind, number, first, end in await connection.fetch(
            "SELECT kind, number, first_minute, end_minute FROM stretches"
        )
    }
    earliest = min((span.start for span in kept.values()), default=None)
    places = {place: span for place, span in kept.items() if span.overlaps(query.span)}
    history = History(query, places.values(), earliest, max_functions)
    for record in await _fetch_losses(connection, list(places)):
        if query.selection.covers_losses(record["service"]):
            history.lose(places[record["kind"], record["span"]], record["service"], decode_losses(record))
    async for records in _fetch_rows(connection, list(places), query.selection):
        await asyncio.to_thread(_count, records, query.selection, places, history)
    return history


async def _fetch_losses(connection: Connection, places: Sequence[Place]) -> list[Record]:
    records: list[Record] = await connection.fetch(
        f"SELECT {LOSS_COLUMNS} FROM losses"
        " WHERE (kind, span) IN (SELECT kind, span FROM unnest($1::smallint[], $2::bigint[]) AS place(kind, span))",
        *_columns(places),
    )
    return records


async def _fetch_rows(
    connection: Connection, places: Sequence[Place], selection: Selection
) -> AsyncIterator[list[Record]]:
    """Yield the rows of these places that the database itself can tell are asked for, some at a time."""
    further, values = conditions(selection, 3)
    cursor = await connection.cursor(
        f"SELECT {ROW_COLUMNS} FROM rows"
        " WHERE (kind, span) IN (SELECT kind, span FROM unnest($1::smallint[], $2::bigint[]) AS place(kind, span))"
        f"{further} ORDER BY kind, span, function_name, service, version",
        *_columns(places),
        *values,
    )
    while records := await cursor.fetch(_ROWS_AT_ONCE):
        yield records


def _columns(places: Sequence[Place]) -> list[list[Any]]:
    return [[kind for kind, _ in places], [span for _, span in places]]


def _sum(records: Sequence[Record], selection: Selection, table: Table) -> None:
    wants = selection.name_filter()
    for record in records:
        if wants(record["function_name"]):
            table.put(*decode_row(record))


def _count(records: Sequence[Record], selection: Selection, places: dict[Place, Span], history: History) -> None:
    wants = selection.name_filter()
    for record in records:
        if wants(record["function_name"]):
            history.count(places[record["kind"], record["span"]], *decode_row(record))
