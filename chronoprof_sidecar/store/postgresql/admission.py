"""Which rows the window has, and where batches are counted: one bound for all replicas together.

A window only gains rows until it ends. So what a replica has seen of it stays true, and only a batch that would add a
row needs to look again, under a lock that the replicas take in turns.
"""

from collections.abc import Collection, Iterable, Sequence

from asyncpg import Connection

from chronoprof_sidecar.domain.batch import Labels, RowKey
from chronoprof_sidecar.domain.table import Admission, Countable, Placement
from chronoprof_sidecar.store.postgresql.locks import ADMISSION, lock


class SeenRows:
    """The rows of one window that this replica knows to be committed; fulfils `domain.table.KnownRows`."""

    def __init__(self, generation: int) -> None:
        self.generation = generation
        self.size = 0
        self.last_id = 0
        """Of the newest row that was seen; all older ones were, too."""
        self._by_labels: dict[Labels, set[str]] = {}

    def rows_of(self, labels: Labels) -> Collection[str]:
        """Return the function names that have a row of these labels."""
        return self._by_labels.get(labels, frozenset())

    def label_pairs(self) -> Iterable[Labels]:
        """Return every pair of labels that has rows."""
        return self._by_labels

    def add(self, row_id: int, key: RowKey) -> None:
        """Note that a row was seen."""
        self._by_labels.setdefault(Labels(key.service, key.version), set()).add(key.function_name)
        self.size += 1
        self.last_id = row_id


class Doorkeeper:
    """Places batches, and keeps the list of rows that all replicas share."""

    def __init__(self, max_functions: int) -> None:
        self._max_functions = max_functions
        self._seen = SeenRows(0)

    async def place(self, connection: Connection, generation: int, batches: Sequence[Countable]) -> list[Placement]:
        """Decide where each batch is counted, and add the rows that are new to the list.

        Nothing of it is remembered here before it is read again: the transaction may yet be rolled back.
        """
        if self._seen.generation != generation:
            self._seen = SeenRows(generation)
        placements, added = self._place(batches)
        if added:
            await lock(connection, ADMISSION)
            await self._look(connection)
            placements, added = self._place(batches)
            await _insert(connection, generation, added)
        return placements

    def _place(self, batches: Sequence[Countable]) -> tuple[list[Placement], set[RowKey]]:
        """Return where each batch is counted, and the rows that this adds."""
        admission = Admission(self._seen, self._max_functions)
        placements: list[Placement] = []
        added: set[RowKey] = set()
        for batch in batches:
            placement = admission.place(batch)
            present = self._seen.rows_of(placement.labels)
            names = placement.row_names(batch.items)
            added.update(RowKey(name, *placement.labels) for name in names if name not in present)
            placements.append(placement)
        return placements, added

    async def _look(self, connection: Connection) -> None:
        seen = self._seen
        for row_id, *key in await connection.fetch(
            "SELECT id, function_name, service, version FROM names WHERE generation = $1 AND id > $2 ORDER BY id",
            seen.generation,
            seen.last_id,
        ):
            seen.add(row_id, RowKey(*key))


async def _insert(connection: Connection, generation: int, keys: Iterable[RowKey]) -> None:
    await connection.executemany(
        "INSERT INTO names (generation, function_name, service, version) VALUES ($1, $2, $3, $4)",
        [(generation, *key) for key in sorted(keys)],
    )
