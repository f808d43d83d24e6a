"""What is missing from the numbers, or was not counted call by call: the honest figures beside a table."""

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Losses:
    """Calls (but for `set_aside`) that a table does not hold as they happened, per service or summed."""

    dropped: int = 0
    """Calls that a sender threw away before sending."""
    rejected: int = 0
    """Calls that the sidecar refused, as the senders booked them."""
    unknown: int = 0
    """Calls sent, whose acknowledgement never came: counted, or not."""
    overflowed: int = 0
    """Calls counted under `_other` because the table was full."""
    set_aside: int = 0
    """Stored rows that were damaged and are kept apart, uncounted."""
    sampled: int = 0
    """Calls counted by multiplication of a sample."""
    late: int = 0
    """Calls counted when they arrived, more than a minute after they may have happened; none is missing."""

    @property
    def complete(self) -> bool:
        """Whether nothing is missing; sampling and coming late lose nothing."""
        return not (self.dropped or self.rejected or self.unknown or self.overflowed or self.set_aside)

    def merge(self, other: "Losses") -> None:
        """Add the figures of `other`."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def copy(self) -> "Losses":
        """Return an independent copy."""
        twin = Losses()
        twin.merge(self)
        return twin

    def __bool__(self) -> bool:
        """Whether there is any figure to tell."""
        return any(getattr(self, field.name) for field in fields(self))
