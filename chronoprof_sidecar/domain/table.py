"""The table: rows by labels and function name, with the bound on how many there are.

Owns where a sample is counted: in its own row, or in `_other` once the table is full. Knows no generation and no
clock; the store decides when a table begins and ends.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from itertools import repeat
from re import compile as compile_pattern
from typing import Final, NamedTuple, Protocol

from chronoprof_sidecar.domain.batch import Labels, NamedAggregate, RowKey
from chronoprof_sidecar.domain.statistics import FunctionStatistics, statistics_of
from chronoprof_sidecar.protocol import OTHER

MAX_LABEL_PAIRS: Final = 64
"""Pairs of service and version in one table; more become `_other`, `_other`."""
OTHER_LABELS: Final = Labels(OTHER, OTHER)

Rows = dict[str, FunctionStatistics]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows are asked for; what is None does not filter."""

    function_name: str | None = None
    match: str | None = None
    """A shell glob over function names, case-sensitive."""
    service: str | None = None
    version: str | None = None
    names: frozenset[str] | None = None
    """The only functions asked for, whatever else they must fit."""

    def among(self, names: frozenset[str]) -> "Selection":
        """Return the same selection of these functions alone."""
        return replace(self, names=names)

    @property
    def any_function(self) -> bool:
        """Whether rows are asked for whatever their names are."""
        return self.function_name is None and self.match is None and self.names is None

    def covers(self, labels: Labels) -> bool:
        """Say whether rows of these labels are asked for."""
        return self.service in (None, labels.service) and self.version in (None, labels.version)

    def covers_losses(self, service: str) -> bool:
        """Say whether loss figures of a service are asked for: what `_other` took may be of any service."""
        return self.service in (None, service) or service == OTHER

    def name_filter(self) -> Callable[[str], bool]:
        """Return what says whether rows of a function name are asked for."""
        glob = None if self.match is None else compile_pattern(translate(self.match)).match

        def wants(name: str) -> bool:
            return (
                self.function_name in (None, name)
                and (self.names is None or name in self.names)
                and (glob is None or glob(name) is not None)
            )

        return wants

    def of(self, rows: Rows) -> Iterator[tuple[str, FunctionStatistics]]:
        """Yield the rows whose names are asked for."""
        if self.function_name is not None:
            found = rows.get(self.function_name)
            candidates: Iterable[tuple[str, FunctionStatistics]] = [(self.function_name, found)] if found else []
        else:
            candidates = rows.items()
        if self.match is None and self.names is None:
            yield from candidates
            return
        wants = self.name_filter()
        yield from ((name, statistics) for name, statistics in candidates if wants(name))


class Placement(NamedTuple):
    """Where the items of one batch are counted, decided before they are: replaying it repeats the decision."""

    labels: Labels
    overflowed: frozenset[str] = frozenset()
    """Function names that are counted under `_other`."""

    def row_name(self, function_name: str) -> str:
        """Return the function name that `function_name` is counted under."""
        return OTHER if function_name in self.overflowed else function_name

    def row_names(self, items: Iterable[tuple[str, object]]) -> Iterable[str]:
        """Return the function names that `items` are counted under."""
        names = [name for name, _ in items]
        return map(self.row_name, names) if self.overflowed else names


class Table:
    """Statistics per (function name, service, version).

    A snapshot shares the table's rows, so taking one costs next to nothing and a long report holds nobody up. It opens
    a new epoch: a row of an older epoch may be in somebody's snapshot, and is copied before it counts again.
    """

    __slots__ = ("_by_labels", "_epoch", "size")

    def __init__(self) -> None:
        self._by_labels: dict[Labels, Rows] = {}
        self._epoch = 0
        self.size = 0
        """Rows, those of `_other` included."""

    def rows_of(self, labels: Labels) -> Rows:
        """Return the rows of one pair of labels, for looking; empty when there are none."""
        return self._by_labels.get(labels, {})

    def label_pairs(self) -> list[Labels]:
        """Return every pair of labels that has rows."""
        return list(self._by_labels)

    def count(self, placement: Placement, items: Iterable[NamedAggregate], arrived_ns: int) -> None:
        """Count the aggregates of one batch where `placement` puts them."""
        rows = self._by_labels.get(placement.labels, {})
        size_before = len(rows)
        overflowed, epoch = placement.overflowed, self._epoch
        for name, aggregate in items:
            row_name = OTHER if name in overflowed else name
            statistics = rows.get(row_name)
            if statistics is None:
                rows[row_name] = statistics = statistics_of(aggregate, arrived_ns)
                statistics.epoch = epoch
                continue
            if statistics.epoch != epoch:
                rows[row_name] = statistics = statistics.copy()
                statistics.epoch = epoch
            statistics.add(aggregate, arrived_ns)
        if rows:  # a batch of loss figures alone takes up no pair of labels
            self._by_labels[placement.labels] = rows
        self.size += len(rows) - size_before

    def put(self, key: RowKey, statistics: FunctionStatistics) -> None:
        """Merge `statistics` into the row of `key`; a new row becomes the table's own."""
        rows = self._by_labels.setdefault(Labels(key.service, key.version), {})
        present = rows.get(key.function_name)
        if present is None:
            self.size += 1
        else:
            merged = present.copy()  # the row itself may be in somebody's snapshot
            merged.merge(statistics)
            statistics = merged
        statistics.epoch = self._epoch
        rows[key.function_name] = statistics

    def get(self, key: RowKey) -> FunctionStatistics | None:
        """Return the row of `key` itself, not a copy."""
        return self.rows_of(Labels(key.service, key.version)).get(key.function_name)

    def select(self, selection: Selection) -> Iterator[tuple[RowKey, FunctionStatistics]]:
        """Yield the rows asked for, themselves, not copies; the table must not change meanwhile."""
        for labels, rows in self._by_labels.items():
            if selection.covers(labels):
                if selection.any_function:
                    yield from zip(_keys(rows, labels), rows.values(), strict=True)
                else:
                    yield from ((RowKey(name, *labels), statistics) for name, statistics in selection.of(rows))

    def drop(self, labels: Labels) -> None:
        """Forget the rows of one pair of labels; snapshots keep theirs."""
        self.size -= len(self._by_labels.pop(labels, {}))

    def snapshot(self, selection: Selection) -> list[tuple[RowKey, FunctionStatistics]]:
        """Return the rows asked for, as they are now and will stay; whoever gets them must not change them."""
        rows = list(self.select(selection))
        if rows:
            self._epoch += 1
        return rows


class KnownRows(Protocol):
    """Which rows there are, as far as placing batches needs to know."""

    @property
    def size(self) -> int:
        """Rows, those of `_other` included."""

    def rows_of(self, labels: Labels) -> Collection[str]:
        """Return the function names that have a row of these labels; nothing in it where there are none."""

    def label_pairs(self) -> Iterable[Labels]:
        """Return every pair of labels that has rows."""


class Countable(Protocol):
    """What is to be counted, as far as placing it needs to know; a batch is one."""

    @property
    def labels(self) -> Labels: ...
    @property
    def items(self) -> Sequence[tuple[str, object]]:
        """Each begins with a function name."""


@dataclass(slots=True)
class Admission:
    """Places batches that are about to be counted together, so that no table grows beyond its bound.

    It looks at the table and remembers which rows the batches placed so far will add; the table itself changes only
    when they are counted. Throwing an Admission away undoes it.
    """

    table: KnownRows
    max_functions: int
    lossy_services: Collection[str] = ()
    """Services that have loss figures already."""
    _new_names: dict[Labels, set[str]] = field(default_factory=dict)
    _new_rows: int = 0
    _new_lossy_services: set[str] = field(default_factory=set)

    def place(self, batch: Countable) -> Placement:
        """Decide where each item of `batch` is counted."""
        if not batch.items:
            return Placement(self._place_losses(batch.labels))
        labels = self._place_labels(batch.labels)
        present = self.table.rows_of(labels)
        fresh = {name for name, _ in batch.items if name not in present}
        if not fresh:  # as in nearly every batch
            return Placement(labels)
        new_names = self._new_names.setdefault(labels, set())
        fresh -= new_names
        room = max(0, self.max_functions - self.table.size - self._new_rows)
        overflowed: frozenset[str] = frozenset()
        if len(fresh) > room:
            in_order = dict.fromkeys(name for name, _ in batch.items if name in fresh)
            overflowed = frozenset(list(in_order)[room:])
            fresh -= overflowed
        new_names |= fresh
        self._new_rows += len(fresh)
        return Placement(labels, overflowed)

    def _place_labels(self, labels: Labels) -> Labels:
        if self.table.rows_of(labels) or labels in self._new_names:
            return labels
        pairs = len({*self.table.label_pairs(), *self._new_names, OTHER_LABELS}) - 1
        return labels if pairs < MAX_LABEL_PAIRS else OTHER_LABELS

    def _place_losses(self, labels: Labels) -> Labels:
        """Bound the services of batches that bring loss figures alone, and so take up no pair of labels."""
        service = labels.service
        if self.table.rows_of(labels) or service in self.lossy_services or service in self._new_lossy_services:
            return labels
        if len(self.lossy_services) + len(self._new_lossy_services) >= MAX_LABEL_PAIRS:
            return OTHER_LABELS
        self._new_lossy_services.add(service)
        return labels


def _keys(names: Iterable[str], labels: Labels) -> Iterator[RowKey]:
    # At C speed, without NamedTuple's own constructor: the event loop makes 10 000 of them for a snapshot.
    return map(tuple.__new__, repeat(RowKey), zip(names, repeat(labels.service), repeat(labels.version), strict=False))


def merge_by_name(rows: Iterable[tuple[RowKey, FunctionStatistics]]) -> Rows:
    """Merge rows over their labels; the rows given stay as they are, and a row that is alone in its name is shared."""
    merged: Rows = {}
    copied: set[str] = set()
    for key, statistics in rows:
        name = key.function_name
        present = merged.get(name)
        if present is None:
            merged[name] = statistics
            continue
        if name not in copied:
            merged[name] = present = present.copy()
            copied.add(name)
        present.merge(statistics)
    return merged
