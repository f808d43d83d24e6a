"""The law's figures: every recorded call is in exactly one of them.

    recorded = acknowledged + rejected + dropped + unknown + buffered

Pure. Owns the counters and what of them the sidecar has been told. Must not know why a call ended where it did: that is
`delivery`.
"""

from typing import NamedTuple


class Losses(NamedTuple):
    """Calls that will never be known to be counted, since the sender's last acknowledged batch."""

    dropped: int = 0
    rejected: int = 0
    unknown: int = 0


class Books:
    """Counts calls by where they ended. What is still held is not counted here but by whoever holds it."""

    __slots__ = ("_reported", "acknowledged", "dropped", "recorded", "rejected", "unknown")

    def __init__(self) -> None:
        self.recorded = 0
        self.acknowledged = 0
        self.rejected = 0
        self.dropped = 0
        self.unknown = 0
        self._reported = Losses()

    @property
    def lost(self) -> int:
        """All calls that ended anywhere but with an acknowledgement."""
        return self.rejected + self.dropped + self.unknown

    def unreported(self) -> Losses:
        """Return the losses that no batch has reported yet, and hold them for reported from here on."""
        now = Losses(dropped=self.dropped, rejected=self.rejected, unknown=self.unknown)
        before, self._reported = self._reported, now
        return Losses(*(total - told for total, told in zip(now, before, strict=True)))

    def report_again(self, losses: Losses) -> None:
        """Take back what a batch was to report: it did not arrive, or nobody knows."""
        self._reported = Losses(*(told - again for told, again in zip(self._reported, losses, strict=True)))

    def has_unreported(self) -> bool:
        """Say whether there are losses that no batch has reported yet."""
        return self._reported != (self.dropped, self.rejected, self.unknown)
