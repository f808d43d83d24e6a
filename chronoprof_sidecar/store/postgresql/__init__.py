"""The store of a fleet: one table in PostgreSQL, exact across any number of replicas that keep nothing themselves."""

from chronoprof_sidecar.store.postgresql.opening import open_store

__all__ = ["open_store"]
