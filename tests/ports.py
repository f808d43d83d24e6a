"""Ports for servers that tests start, or start again: nobody's outgoing connection takes one meanwhile."""

import random
import socket
from typing import Final

_BELOW_EPHEMERAL: Final = range(20_000, 32_000)
"""The kernel gives connections ports from 32768 on (Linux), or from 49152 on (elsewhere)."""
_chance = random.SystemRandom()


def free_port() -> int:
    """Return a port on which nobody listens now."""
    while True:
        port = _chance.choice(_BELOW_EPHEMERAL)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
