"""What `profiler.stats()` answers."""

from typing import NamedTuple


class Stats(NamedTuple):
    """Where this process's timed calls are: recorded = acknowledged + rejected + dropped + unknown + buffered.

    One sample of a function that is sampled at 1 in n stands for n calls. A forked child counts from zero.
    """

    recorded: int = 0
    """Calls timed since the process started."""
    acknowledged: int = 0
    """Calls that the sidecar has counted, durably."""
    rejected: int = 0
    """Calls that the sidecar refused for good."""
    dropped: int = 0
    """Calls that could not be kept: bad durations, too many names, a buffer beyond its bound."""
    unknown: int = 0
    """Calls sent whose acknowledgement never came."""
    buffered: int = 0
    """Calls still to be sent, or sent and not yet answered."""
    connected: bool | None = None
    """Whether the last request reached the sidecar; None before the first."""
    config_error: str | None = None
    """Why profiling is off although it was asked for; None if it is not."""
