"""What an app may ask for where it times a function."""

from typing import NamedTuple


class Timing(NamedTuple):
    """The arguments of `timed`; None means the default."""

    name: str | None = None
    sample_every: int | None = None
    split: bool = False
