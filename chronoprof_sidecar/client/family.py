"""One voice for many processes: what a server and all its workers would each complain about is said once.

The first process is the root, and its descendants know it by a variable of the environment. A matter is settled once
any of them dealt with it, or complained. Descendants settle by making an empty file, which is atomic, needs no lock and
holds across forks and spawned processes; the root takes the files away when it ends. One that is killed leaves them.
Must not know what the matters are: they have numbers.
"""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

ROOT_VARIABLE: Final = "_CHRONOPROF_ROOT"
"""The root's process id and a random name for the files. No setting: `run` begins a new family."""

_TOKEN_BYTES: Final = 16


class Family:
    """This process's view of the processes that settle the same matters."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        marker = environ.setdefault(ROOT_VARIABLE, f"{os.getpid()}-{os.urandom(_TOKEN_BYTES).hex()}")
        self._root, _, self._token = marker.partition("-")
        self._settled: set[int] = set()

    @property
    def is_root(self) -> bool:
        """Whether this process is the first; a forked child is not, and one that took its place by exec is."""
        return str(os.getpid()) == self._root

    def settle(self, matter: int) -> None:
        """Note that a matter was dealt with, so that nobody need complain."""
        if matter in self._settled:
            return
        self._settled.add(matter)
        if not self.is_root:
            self._mark(matter)

    def may_complain(self, matter: int) -> bool:
        """Say whether nobody dealt with a matter or complained of it so far; it is settled by this."""
        if matter in self._settled:
            return False
        self._settled.add(matter)
        return self._mark(matter)

    def part(self, matters: int) -> list[int]:
        """Return which of the matters from 0 on nobody settled, and take the files away: the root's farewell."""
        return [matter for matter in range(matters) if not self._unmark(matter) and matter not in self._settled]

    def _mark(self, matter: int) -> bool:
        try:
            os.close(os.open(self._file(matter), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        except OSError:  # no place for a file: better said twice than never
            return True
        return True

    def _unmark(self, matter: int) -> bool:
        """Take a file away, and say whether it was there."""
        try:
            self._file(matter).unlink()
        except OSError:
            return False
        return True

    def _file(self, matter: int) -> Path:
        import tempfile  # noqa: PLC0415 - most processes never get here, and it takes half of the standard library

        return Path(tempfile.gettempdir()) / f"chronoprof-{self._token}-{matter}"
