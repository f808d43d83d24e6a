"""The system's own threads, locks and sockets, also where gevent has put its own in their place.

Owns what the flush thread is made of. A greenlet in its stead would be starved by the app's, live on in forked
children, and, where gevent patches after this import, wait for locks that never yield to the app. So everything is
taken from before the patch, whenever that is. Must not know what it is used for.
"""

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import select
    import socket
    from threading import Lock


def _original(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    return getattr(importlib.import_module(module), name) if monkey is None else monkey.get_original(module, name)


get_thread_id: Final[Callable[[], int]] = _original("_thread", "get_ident")
make_lock: Final[Callable[[], "Lock"]] = _original("_thread", "allocate_lock")
make_poll: Final[Callable[[], "select.poll"]] = _original("select", "poll")
make_socket: Final[Callable[[int, int], "socket.socket"]] = _original("socket", "socket")
resolve_host: Final[Callable[..., list[Any]]] = _original("socket", "getaddrinfo")
sleep: Final[Callable[[float], None]] = _original("time", "sleep")
start_thread: Final[Callable[[Callable[[], None], tuple[()]], int]] = _original("_thread", "start_new_thread")
