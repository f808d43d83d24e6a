"""The files of the page, read once and held in memory, as they are and compressed.

Owns what each kind of file is called on the wire. Must not know HTTP beyond that.
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath
from types import MappingProxyType
from typing import Final

PAGE: Final = "index.html"
CONTENT_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
"""A file of any other kind is not served, and a test says so."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent."""

    content_type: str
    etag: str
    plain: bytes
    gzipped: bytes


@cache
def read_assets() -> Mapping[str, Asset]:
    """Return every file of the page by its name; some 100 KB compressed, read and compressed at the first call."""
    static = files("chronoprof_sidecar.server.dashboard").joinpath("static")
    return MappingProxyType({entry.name: _asset(entry.name, entry.read_bytes()) for entry in static.iterdir()})


def _asset(name: str, content: bytes) -> Asset:
    return Asset(
        content_type=CONTENT_TYPES[PurePath(name).suffix],
        etag=f'"{sha256(content).hexdigest()[:32]}"',
        plain=content,
        gzipped=gzip.compress(content, mtime=0),
    )
