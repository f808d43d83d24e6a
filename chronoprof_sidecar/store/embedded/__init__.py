"""The store of one machine: memory for answers, SQLite for durability, one writer between them."""

from chronoprof_sidecar.store.embedded.opening import open_store

__all__ = ["open_store"]
