from chronoprof_sidecar.domain.batch import Batch, NamedAggregate, Outcome, RowKey
from chronoprof_sidecar.domain.losses import Losses
from chronoprof_sidecar.domain.meters import SILENT_SECONDS, Meters
from chronoprof_sidecar.domain.table import MAX_LABEL_PAIRS
from chronoprof_sidecar.protocol import OTHER
from tests.domain.building import aggregate, batch

COUNTED = Outcome(1, 0, (), None, duplicate=False)
REPEATED = Outcome(1, 0, (), None, duplicate=True)


class Watched:
    """Meters that were read once, with a clock to move."""

    def __init__(self, max_functions: int = 100) -> None:
        self.seconds = 0.0
        self.meters = Meters(max_functions, lambda: 7, lambda: self.seconds)
        self.meters.read()

    def count(self, *names: str, version: str = "1", service: str = "shop") -> None:
        """Count one call of each function."""
        self.meters.count(calls_of(*names, version=version, service=service), COUNTED, 0.001)

    def calls(self) -> dict[RowKey, int]:
        """Return calls by row."""
        return {key: row.calls for key, row in self.meters.read().rows}


def calls_of(*names: str, version: str = "1", service: str = "shop") -> Batch:
    """Return a batch of one call of each function."""
    items = [NamedAggregate(name, aggregate([1_000_000])) for name in names]
    return batch(*items, service=service, version=version)


def test_functions_are_counted_from_the_first_reading_on() -> None:
    """Who is never read keeps no rows; the sidecar's own figures count from the start."""
    meters = Meters(100, lambda: 7, lambda: 0.0)
    meters.count(calls_of("a"), COUNTED, 0.001)
    first = meters.read()
    assert (1, 1, []) == (first.batches, first.calls, list(first.rows))
    meters.count(calls_of("a"), COUNTED, 0.001)
    assert [1] == [row.calls for _, row in meters.read().rows]


def test_a_repeated_batch_counts_once() -> None:
    """What the store had counted before changes no figure but that of repeats, and of how long it took."""
    watched = Watched()
    watched.count("a")
    watched.meters.count(calls_of("a"), REPEATED, 0.001)
    reading = watched.meters.read()
    assert (1, 1, 1, 2) == (reading.batches, reading.repeats, reading.calls, reading.commits.histogram.count)
    assert {RowKey("a", "shop", "1"): 1} == watched.calls()


def test_a_reading_stays_as_it_is() -> None:
    """What is counted later changes no reading."""
    watched = Watched()
    watched.count("a")
    reading = watched.meters.read()
    watched.count("a")
    watched.meters.refuse("malformed")
    assert [1] == [row.calls for _, row in reading.rows]
    assert (1, 1, {}) == (reading.batches, reading.commits.histogram.count, reading.refusals)


def test_functions_beyond_the_bound_are_other() -> None:
    """The first names keep their rows, all others add up in one, and no call is missing."""
    watched = Watched(max_functions=2)
    watched.count("a", "b", "c")
    watched.count("c", "d", "a")
    rows = {"a": 2, "b": 1, OTHER: 3}
    assert {RowKey(name, "shop", "1"): calls for name, calls in rows.items()} == watched.calls()


def test_a_silent_version_makes_room_when_room_is_short() -> None:
    """Deployments replace each other for ever: a version unheard of for an hour gives its rows to a newer one's."""
    watched = Watched(max_functions=2)
    watched.count("a", "b", version="1")
    watched.seconds += SILENT_SECONDS + 1
    assert {("a", "1"), ("b", "1")} == {(key.function_name, key.version) for key in watched.calls()}
    watched.count("a", "b", version="2")
    assert {("a", "2"), ("b", "2")} == {(key.function_name, key.version) for key in watched.calls()}


def test_a_version_that_is_heard_of_keeps_its_rows() -> None:
    """A counter that grows is never forgotten, however little room there is."""
    watched = Watched(max_functions=1)
    watched.count("a", version="1")
    watched.seconds += SILENT_SECONDS
    watched.count("a", version="1")
    watched.seconds += 1
    watched.count("a", version="2")
    assert {RowKey("a", "shop", "1"): 2, RowKey(OTHER, "shop", "2"): 1} == watched.calls()


def test_a_service_has_lost_nothing_before_it_loses_something() -> None:
    """Losses are told as zero from a service's first batch on: an alert on their increase sees the first of them."""
    watched = Watched()
    watched.count("a")
    assert {"shop": Losses()} == watched.meters.read().losses
    watched.meters.count(calls_of()._replace(dropped=3), COUNTED, 0.001)
    assert {"shop": Losses(dropped=3)} == watched.meters.read().losses


def test_labels_are_bounded() -> None:
    """Whatever services and versions are sent, with calls or with losses alone, series stay few."""
    watched = Watched()
    for number in range(MAX_LABEL_PAIRS + 10):
        lost = calls_of(service=f"s{number}")._replace(dropped=1)
        watched.count("a", service=f"s{number}")
        watched.meters.count(lost, COUNTED, 0.001)
    reading = watched.meters.read()
    assert MAX_LABEL_PAIRS + 1 == len(reading.rows) == len(reading.losses)
    assert (10, 10) == (watched.calls()[RowKey("a", OTHER, OTHER)], reading.losses[OTHER].dropped)
