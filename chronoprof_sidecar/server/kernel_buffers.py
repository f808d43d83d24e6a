"""What the kernel keeps of a connection: bytes that wait for the peer when the process itself has none left to send."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from typing import Final

_COUNT: Final = struct.Struct("i")
_NO_LINGERING: Final = struct.pack("ii", 1, 0)
_CLOSED_MEANWHILE: Final = (OSError, ValueError)
"""What a socket raises that TLS has closed a moment before it tells its protocol."""


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Return how much waits for the peer, here and in the kernel; what it has not acknowledged counts, too."""
    unsent = transport.get_write_buffer_size()
    with contextlib.suppress(*_CLOSED_MEANWHILE):
        answered: bytes = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_COUNT.size))
        unsent += _COUNT.unpack(answered)[0]
    return unsent


def reset(transport: asyncio.Transport) -> None:
    """End a connection at once; else the kernel would go on serving a slow peer what it holds for it."""
    with contextlib.suppress(*_CLOSED_MEANWHILE):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
    transport.abort()
