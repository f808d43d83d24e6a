"""What a store hands out of its window: rows as of one instant, and the files that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass

from chronoprof_sidecar.domain.batch import RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.statistics import FunctionStatistics


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows asked for, as they were at one instant; times in nanoseconds of Unix time."""

    generation: int
    window_start_ns: int
    taken_ns: int
    services: Sequence[str]
    """All services that have rows or losses in the window, sorted."""
    rows: Sequence[tuple[RowKey, FunctionStatistics]]
    """Not to be changed: other snapshots may share them."""
    losses: dict[str, Losses]
    """Per service, those of the services asked for and of `_other`, which may hold calls of any."""


@dataclass(frozen=True, slots=True)
class SaveInfo:
    """One file in the save directory."""

    name: str
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """A finished rotate: the file, the generation it holds, and the one that began."""

    save: SaveInfo
    saved_generation: int
    generation: int
