"""What is missing of nobody knows which minute: told by the history in the minute in which it was found.

Runs inside a transaction, the one that keeps a start from finding the same again.
"""

from chronoprof_sidecar.domain.history import MINUTE_NS
from chronoprof_sidecar.store.embedded.addition import count_set_aside
from chronoprof_sidecar.store.embedded.database import Database
from chronoprof_sidecar.store.embedded.leftovers import load_leftovers
from chronoprof_sidecar.store.embedded.minutes import Minutes
from chronoprof_sidecar.store.embedded.records import MINUTE, MINUTE_LOSSES, Slot


def tell_in_history(database: Database, service: str, records: int, now_ns: int) -> None:
    """Count records as set aside in the minute of `now_ns`, and have that minute kept."""
    minute = now_ns // MINUTE_NS
    minutes = load_minutes(database)
    load_leftovers(database).erase_minute(database, minute)
    count_set_aside(database, Slot(MINUTE_LOSSES, minute, service, "", ""), records)
    minutes.note([minute])
    database.write_meta(minutes=str(minutes))


def load_minutes(database: Database) -> Minutes:
    """Return the minutes that are kept."""
    try:
        return Minutes.read(str(database.load_meta()["minutes"]))
    except KeyError:  # not written yet: their numbers are the next best order
        return Minutes(database.load_spans(MINUTE))
