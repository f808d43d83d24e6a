"""Bringing in what other stores held: all of it in one transaction, and none of it twice.

The mark of an embedded store commits with what it held, so an import that was cut off left nothing, and a second one
finds the mark. With what was counted come its senders: a batch whose answer got lost in the move comes again, to the
fleet, and must be the duplicate there that it would have been at home.

    lost before the commit   nothing happened: import again
    lost during the commit   it happened, or not: import again, the mark tells

Locks are taken in the order of `merging` and `windows`: saves, window, upkeep, senders, list of rows, minutes. Whoever
counts goes on, but for the moments at the end; whoever saves or begins a window waits.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from asyncpg import Connection

from chronoprof_sidecar.domain.batch import Labels, RowKey
from chronoprof_sidecar.domain.history import HOUR_MINUTES, Span
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.statistics import FunctionStatistics
from chronoprof_sidecar.domain.table import Placement, Table
from chronoprof_sidecar.errors import StoreError
from chronoprof_sidecar.protocol import OTHER
from chronoprof_sidecar.settings import Settings
from chronoprof_sidecar.store.holdings import HeldSave, HeldStretch, Holdings
from chronoprof_sidecar.store.postgresql.admission import Doorkeeper
from chronoprof_sidecar.store.postgresql.link import Link
from chronoprof_sidecar.store.postgresql.locks import UPKEEP, lock
from chronoprof_sidecar.store.postgresql.opening import prepare
from chronoprof_sidecar.store.postgresql.rows import HOUR, MINUTE, WINDOW, Place, add_to_place
from chronoprof_sidecar.store.postgresql.saves import hold_saves, import_save
from chronoprof_sidecar.store.postgresql.senders import claim, make_room, remember
from chronoprof_sidecar.store.save_rules import SaveLimits

IMPORT_SECONDS: Final = 4 * 3600.0
"""Enough for 40 million rows at the 2800 a second that were measured on two busy cores."""
_TAKE_TIME: Final = (
    "SET LOCAL application_name = 'chronoprof-import'; SET LOCAL idle_in_transaction_session_timeout = '10min'"
)
"""Replicas are cut off when they are silent for seconds; an import may be busy with what it has read."""
SHARD: Final = -1
"""No replica's, so that what is brought in waits for nobody's rows, nor anybody for its."""
# An earlier stretch is older, whenever it comes: it takes the position of the first that is later than it.
_KEEP: Final = """
    INSERT INTO stretches AS stored (kind, number, first_minute, end_minute, position)
    VALUES ($1, $2, $3, $4, coalesce(
        (SELECT position FROM stretches WHERE kind = $1 AND number > $2 ORDER BY number LIMIT 1),
        nextval('stretches_position_seq')
    ))
    ON CONFLICT (kind, number) DO UPDATE SET first_minute = least(stored.first_minute, excluded.first_minute),
        end_minute = greatest(stored.end_minute, excluded.end_minute)
"""


@dataclass(slots=True)
class Imported:
    """What an import has done."""

    saves: list[str] = field(default_factory=list)
    known_saves: list[str] = field(default_factory=list)
    """Those that were there already."""
    store: bool = False
    """Whether a store's holdings were counted: now, and not by an earlier import."""
    rows: int = 0
    """Of its window."""
    minutes: int = 0
    hours: int = 0
    senders: int = 0


class _Held(NamedTuple):
    """Rows of one pair of labels; fulfils `domain.table.Countable`."""

    labels: Labels
    items: list[tuple[str, FunctionStatistics]]


async def import_into(
    settings: Settings, saves: Iterable[HeldSave], holdings: Holdings | None, now_ns: int
) -> Imported:
    """Bring saves, and all that a store holds, into the database of `settings.store`: all of it, or nothing.

    Raises:
        StoreError: the database cannot be used; the store has counted more since it was imported, or has more senders
            than there is room for.
        FileExistsConflictError, SavesFullError: as `Store.save`; a save of that name has another content.
        UnavailableError: the database went away, or its quorum did; whether it happened, the next import finds out.
    """
    service_minute = await prepare(settings.store, now_ns)
    link = Link(settings.store, name="the import")
    try:
        async with link.transaction(IMPORT_SECONDS) as connection:
            await connection.execute(_TAKE_TIME)
            return await _Import(connection, settings, service_minute).run(saves, holdings, now_ns)
    finally:
        await link.close()


class _Import:
    """One import, inside of its transaction."""

    def __init__(self, connection: Connection, settings: Settings, service_minute: int) -> None:
        self._connection = connection
        self._settings = settings
        self._service_minute = service_minute
        self._done = Imported()

    async def run(self, saves: Iterable[HeldSave], holdings: Holdings | None, now_ns: int) -> Imported:
        connection = self._connection
        await hold_saves(connection)
        generation: int = await connection.fetchval("SELECT generation FROM current_window FOR SHARE")
        await lock(connection, UPKEEP)
        await self._add_saves(saves)
        if holdings is not None and await self._mark(holdings, now_ns):
            self._done.store = True
            await self._add_saves(holdings.saves)
            kept = await self._add_history(holdings.stretches)
            await self._remember_senders(holdings)
            table, losses = await self._place(generation, holdings.window)
            await connection.executemany(_KEEP, [(*place, *span) for place, span in sorted(kept.items())])
            await add_to_place(connection, (WINDOW, generation), SHARD, table, losses)
        return self._done

    async def _add_saves(self, saves: Iterable[HeldSave]) -> None:
        settings = self._settings
        limits = SaveLimits(settings.max_saves, settings.max_saves_bytes, settings.keep_saves)
        for save in saves:
            new = await import_save(self._connection, limits, save)
            (self._done.saves if new else self._done.known_saves).append(save.name)

    async def _mark(self, holdings: Holdings, now_ns: int) -> bool:
        """Note that a store was imported; return whether it was not yet."""
        # Written even where it stays the same: only then is the mark of an earlier import on the quorum, too.
        known = await self._connection.fetchval(
            "UPDATE imports SET batches = batches WHERE source = $1 RETURNING batches", holdings.identity
        )
        if known is None:
            await self._connection.execute(
                "INSERT INTO imports VALUES ($1, $2, $3)", holdings.identity, holdings.batches, now_ns
            )
        elif known != holdings.batches:
            raise StoreError(
                "the store was imported before, and is not what it was then: it has counted"
                f" {holdings.batches} batches, {known} of them are imported; what came since cannot be told apart"
            )
        return known is None

    async def _add_history(self, stretches: Iterable[HeldStretch]) -> Mapping[Place, Span]:
        """Add all that the history counts, and return the stretches that it is in, which are yet to be kept.

        Whole names: the bound on rows is the window's, and whoever reads the history bounds its answer.
        """
        kept: dict[Place, Span] = {}
        for stretch in stretches:
            if not (stretch.rows.size or stretch.losses):
                continue
            start = stretch.span.start
            place = (HOUR, start // HOUR_MINUTES) if stretch.is_hour else (MINUTE, start)
            await add_to_place(self._connection, place, SHARD, stretch.rows, stretch.losses)
            kept[place] = stretch.span
        self._done.hours = sum(kind == HOUR for kind, _ in kept)
        self._done.minutes = len(kept) - self._done.hours
        return kept

    async def _remember_senders(self, holdings: Holdings) -> None:
        """Remember senders as long as they would have been at home; where both know one, whoever counted more."""
        senders = {sender.id: sender for sender in holdings.senders}
        known = await claim(self._connection, senders)
        newcomers = len(senders) - len(known)
        limit = self._settings.max_senders
        bounds: dict[str, int] = {"limit": limit, "minute": self._service_minute}
        if await make_room(self._connection, senders, newcomers, newcomers, **bounds) < newcomers:
            raise StoreError(f"there is no room for {newcomers} senders more (CHRONOPROF_MAX_SENDERS={limit})")
        offset = self._service_minute - holdings.service_minute
        ahead = {
            sender.id: sender._replace(active_minute=sender.active_minute + offset)
            for sender in senders.values()
            if sender.id not in known or known[sender.id].seq < sender.seq
        }
        await remember(self._connection, ahead, senders)
        self._done.senders = len(ahead)

    async def _place(self, generation: int, window: Snapshot) -> tuple[Table, dict[str, Losses]]:
        """Return what the window gains: what there is no room for counts as `_other`, as if it had come by itself."""
        by_labels: dict[Labels, list[tuple[str, FunctionStatistics]]] = {}
        for key, row in window.rows:
            by_labels.setdefault(Labels(key.service, key.version), []).append((key.function_name, row))
        # `_other` last, or it would take the room of a name.
        held = [_Held(labels, sorted(items, key=_is_other)) for labels, items in by_labels.items()]
        placements = await Doorkeeper(self._settings.max_functions).place(self._connection, generation, held)
        table, losses = Table(), {service: each.copy() for service, each in window.losses.items()}
        for each, placement in zip(held, placements, strict=True):
            for name, row in each.items:
                table.put(RowKey(placement.row_name(name), *placement.labels), row)
            overflowed = _overflowed(each, placement)
            if overflowed:
                losses.setdefault(placement.labels.service, Losses()).merge(Losses(overflowed=overflowed))
        self._done.rows = table.size
        return table, losses


def _is_other(item: tuple[str, object]) -> bool:
    return item[0] == OTHER


def _overflowed(held: _Held, placement: Placement) -> int:
    """Return the calls that lose their name or their labels; those of `_other` are counted as such already."""
    moved = placement.labels != held.labels
    return sum(row.calls for name, row in held.items if name != OTHER and (moved or name in placement.overflowed))
