"""Two network namespaces, joined by a wire that loses packets, delays them, or is cut.

Each IP packet from one namespace to the other passes through this process, between two TUN devices; TCP on either side
is the kernel's own. The kernel's netem would do the same, but many kernels come without it. Needs root and iproute2.
"""

import fcntl
import heapq
import os
import select
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

_TUNSETIFF: Final = 0x400454CA
_IFF_TUN_WITHOUT_HEADER: Final = 0x0001 | 0x1000
_LARGEST_PACKET: Final = 65536


@dataclass(frozen=True)
class Weather:
    """What happens to packets, in either direction."""

    loss: float = 0.0
    delay_seconds: float = 0.0


@dataclass(frozen=True)
class End:
    """One namespace, with its address on the wire."""

    namespace: str
    address: str
    descriptor: int

    @property
    def prefix(self) -> tuple[str, ...]:
        """The command that runs another one there."""
        return ("ip", "netns", "exec", self.namespace)


class Wire:
    """Carries packets between two ends, in a thread of its own."""

    def __init__(self, ends: tuple[End, End], seed: int) -> None:
        self._ends = ends
        self._draws = Random(seed)
        self._under_way: list[tuple[float, int, int, bytes]] = []
        self._ending = threading.Event()
        self.weather = Weather()
        self.carried = 0
        self.lost = 0

    def carry(self) -> None:
        """Carry packets until told to end."""
        ways = {end.descriptor: other.descriptor for end, other in (self._ends, self._ends[::-1])}
        while not self._ending.is_set():
            due_in = self._under_way[0][0] - time.monotonic() if self._under_way else 0.1
            readable, _, _ = select.select(list(ways), [], [], min(max(0.0, due_in), 0.1))
            for source in readable:
                self._take(os.read(source, _LARGEST_PACKET), ways[source])
            self._deliver()

    def end(self) -> None:
        """Carry no more."""
        self._ending.set()

    def _take(self, packet: bytes, target: int) -> None:
        weather = self.weather
        if self._draws.random() < weather.loss:
            self.lost += 1
            return
        self.carried += 1
        heapq.heappush(self._under_way, (time.monotonic() + weather.delay_seconds, self.carried, target, packet))

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, target, packet = heapq.heappop(self._under_way)
            os.write(target, packet)


@contextmanager
def joined_namespaces(seed: int) -> Iterator[tuple[End, End, Wire]]:
    """Make two namespaces and the wire between them; inside the block only."""
    with ExitStack() as stack:
        addresses = ("10.203.0.1", "10.203.0.2")
        left = stack.enter_context(_end(f"chp{os.getpid()}a", addresses[0], addresses[1]))
        right = stack.enter_context(_end(f"chp{os.getpid()}b", addresses[1], addresses[0]))
        wire = Wire((left, right), seed)
        thread = threading.Thread(target=wire.carry)
        thread.start()
        stack.callback(thread.join)
        stack.callback(wire.end)
        yield left, right, wire


@contextmanager
def _end(name: str, address: str, peer: str) -> Iterator[End]:
    _ip("netns", "add", name)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH14x", name.encode(), _IFF_TUN_WITHOUT_HEADER))
        _ip("link", "set", name, "netns", name)  # the descriptor stays the device's other side
        _ip("-n", name, "address", "add", address, "peer", peer, "dev", name)
        for device in ("lo", name):
            _ip("-n", name, "link", "set", device, "up")
        yield End(name, address, descriptor)
    finally:
        os.close(descriptor)
        _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, timeout=30)
