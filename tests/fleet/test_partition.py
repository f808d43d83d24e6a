"""A replica that cannot reach the database, while the others can."""

from itertools import cycle, islice

import pytest

from tests.fleet.fleet import ROUNDS, Fleet, is_ready, prove, url_of
from tests.fleet.relays import Flow, Lines
from tests.process.sidecar import wait_until
from tests.proof import Proof
from tests.scale import scaled

pytestmark = pytest.mark.system

PARTITIONS = (Flow.HOLD, Flow.SWALLOW, Flow.CUT)


@pytest.mark.timeout(scaled(120, full=900))
def test_a_replica_apart_from_the_database(fleet: Fleet, proof: Proof) -> None:
    """While a replica cannot reach the database it refuses, and the others go on; what it had under way when its line
    broke is counted once, whether it arrived, arrives later or never does.
    """
    with Lines([server.port for server in fleet.cluster.servers]).running() as lines:
        apart = fleet.start(url_of(fleet.database, lines.ports))
        fleet.remove(fleet.replicas[0])
        fleet.add(apart)
        for partition in islice(cycle(PARTITIONS), max(ROUNDS, len(PARTITIONS))):
            fleet.ship()
            lines.let(partition)
            wait_until(lambda: not is_ready(apart), "a replica that says it is not ready")
            fleet.ship()
            lines.let(Flow.PASS)
            wait_until(lambda: is_ready(apart), "a replica that is ready again")
        prove(fleet, proof, f"{ROUNDS}: bytes late, bytes gone, connections gone")
        fleet.close()
