"""What the embedded store knows: the current window, the minutes not yet written, the senders, and what is dirty.

Owned by the event loop's thread. It changes only after the journal has committed, so whatever it shows is durable.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chronoprof_sidecar.domain.batch import Labels, NamedAggregate
from chronoprof_sidecar.domain.history import MINUTE_NS
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.senders import Sender, Senders, advance
from chronoprof_sidecar.domain.snapshot import Snapshot
from chronoprof_sidecar.domain.table import Selection, Table
from chronoprof_sidecar.store.counting import losses_of
from chronoprof_sidecar.store.embedded.records import (
    MINUTE,
    MINUTE_LOSSES,
    WINDOW,
    WINDOW_LOSSES,
    Entry,
    Slot,
)

Covered = Callable[[Slot], bool]
"""Says whether what is stored at a slot counts an entry already."""


@dataclass(slots=True)
class MinuteDelta:
    """What one minute gained since it was last written."""

    rows: Table = field(default_factory=Table)
    losses: dict[str, Losses] = field(default_factory=dict)


@dataclass(slots=True)
class Dirty:
    """What changed since it was last written."""

    rows: dict[Labels, set[str]] = field(default_factory=dict)
    losses: set[str] = field(default_factory=set)
    minutes: dict[int, MinuteDelta] = field(default_factory=dict)
    senders: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.rows or self.losses or self.minutes or self.senders or self.forgotten)


class Memory:
    """The embedded store's state as of journal entry `lsn`."""

    def __init__(self, max_senders: int) -> None:
        self.generation = 1
        self.window_start_ns = 0
        self.lsn = 0
        self.window = Table()
        self.losses: dict[str, Losses] = {}
        self.senders = Senders(max_senders)
        self.dirty = Dirty()

    def count(self, entry: Entry) -> None:
        """Count a committed entry of the current generation."""
        batch, placement = entry.batch, entry.placement
        self._begin_by(entry.arrived_ns)
        self.window.count(placement, batch.items, entry.arrived_ns)
        if batch.items:  # a minute in which nobody said more than that he lives holds no data
            self._minute_of(entry).rows.count(placement, batch.items, entry.arrived_ns)
        self.dirty.rows.setdefault(placement.labels, set()).update(placement.row_names(batch.items))
        losses = losses_of(batch, placement)
        if losses is not None:
            service = placement.labels.service
            _merge_losses(self.losses, service, losses)
            _merge_losses(self._minute_of(entry).losses, service, losses)
            self.dirty.losses.add(service)
        self.lsn = entry.lsn
        if entry.sender is not None:
            self._remember(entry.sender)

    def replay(self, entry: Entry, covered: Covered) -> None:
        """Count what of an entry was not yet written when the process ended; `covered` says what was."""
        batch, placement = entry.batch, entry.placement
        if entry.generation == self.generation:
            self._begin_by(entry.arrived_ns)
            items = _uncovered(entry, WINDOW, entry.generation, covered)
            self.window.count(placement, items, entry.arrived_ns)
            self.dirty.rows.setdefault(placement.labels, set()).update(placement.row_names(items))
        minute = entry.arrived_ns // MINUTE_NS
        items = _uncovered(entry, MINUTE, minute, covered)
        if batch.items:
            self._minute_of(entry).rows.count(placement, items, entry.arrived_ns)
        self._replay_losses(entry, minute, covered)
        client = batch.client
        if client is not None:
            known = self.senders.get(client.id)
            if known is None or known.seq < client.seq:
                self._remember(advance(known, client, batch, entry.arrived_ns, entry.service_minute))
        self.lsn = entry.lsn

    def forget(self, sender_ids: list[str]) -> None:
        """Note that these senders are no longer remembered, so that they are erased, too."""
        self.dirty.senders.difference_update(sender_ids)
        self.dirty.forgotten.update(sender_ids)

    def begin_window(self, generation: int, start_ns: int) -> None:
        """Begin an empty window; the history stays."""
        self.generation = generation
        self.window_start_ns = start_ns
        self.window = Table()
        self.losses = {}
        self.dirty.rows.clear()
        self.dirty.losses.clear()

    def snapshot(self, selection: Selection, taken_ns: int) -> Snapshot:
        """Return the window's rows that are asked for, as of now."""
        services = {labels.service for labels in self.window.label_pairs()} | self.losses.keys()
        asked = filter(selection.covers_losses, self.losses)
        return Snapshot(
            generation=self.generation,
            window_start_ns=min(self.window_start_ns, taken_ns),
            taken_ns=taken_ns,
            services=sorted(services),
            rows=self.window.snapshot(selection),
            losses={service: self.losses[service].copy() for service in asked},
        )

    def _begin_by(self, arrived_ns: int) -> None:
        """Have the window begin no later than what it counts, which comes from before its start when clocks go back."""
        self.window_start_ns = min(self.window_start_ns, arrived_ns)

    def _remember(self, sender: Sender) -> None:
        self.senders.put(sender)
        self.dirty.senders.add(sender.id)
        self.dirty.forgotten.discard(sender.id)

    def _replay_losses(self, entry: Entry, minute: int, covered: Covered) -> None:
        losses = losses_of(entry.batch, entry.placement)
        if losses is None:
            return
        service = entry.placement.labels.service
        slot = Slot(WINDOW_LOSSES, entry.generation, service, "", "")
        if entry.generation == self.generation and not covered(slot):
            _merge_losses(self.losses, service, losses)
            self.dirty.losses.add(service)
        gained = self._minute_of(entry)  # also where all of it is stored: that minute holds data
        if not covered(Slot(MINUTE_LOSSES, minute, service, "", "")):
            _merge_losses(gained.losses, service, losses)

    def _minute_of(self, entry: Entry) -> MinuteDelta:
        minute = entry.arrived_ns // MINUTE_NS
        delta = self.dirty.minutes.get(minute)
        if delta is None:
            delta = self.dirty.minutes[minute] = MinuteDelta()
        return delta


def _merge_losses(by_service: dict[str, Losses], service: str, losses: Losses) -> None:
    by_service.setdefault(service, Losses()).merge(losses)


def _uncovered(entry: Entry, kind: int, span: int, covered: Covered) -> list[NamedAggregate]:
    placement = entry.placement
    service, version = placement.labels
    return [
        item
        for item in entry.batch.items
        if not covered(Slot(kind, span, service, version, placement.row_name(item.function_name)))
    ]
