"""How much of what is only volume: little of it in `make test`, all of it in the targets that prove the guarantees."""

import os

FULL = os.environ.get("CHRONOPROF_TEST_SCALE") == "full"


def scaled(short: int, full: int) -> int:
    """Return `full` where `CHRONOPROF_TEST_SCALE=full`, as in `make test-hosts` and `make attacks`, else `short`."""
    return full if FULL else short
