"""How the shared table is doing, told without counting its rows."""

from asyncpg import Connection

from chronoprof_sidecar.store.postgresql.rows import WINDOW
from chronoprof_sidecar.store.postgresql.senders import count


class FigureReader:
    """Reads the figures, and remembers how far it has counted the rows: a window only gains some until it ends."""

    def __init__(self) -> None:
        self._generation = 0
        self._rows = 0
        self._last_id = 0

    async def read(self, connection: Connection) -> tuple[int, int, int, int]:
        """Return the window's generation, its rows, the calls that overflowed in it, and how many senders there are."""
        generation, overflowed = await connection.fetchrow(
            "SELECT generation, (SELECT coalesce(sum(overflowed), 0) FROM losses WHERE kind = $1 AND span = generation)"
            " FROM current_window",
            WINDOW,
        )
        if generation != self._generation:
            self._generation, self._rows, self._last_id = generation, 0, 0
        further, last_id = await connection.fetchrow(
            "SELECT count(*), max(id) FROM names WHERE generation = $1 AND id > $2", generation, self._last_id
        )
        self._rows += further
        self._last_id = last_id or self._last_id
        return generation, self._rows, int(overflowed), await count(connection)
