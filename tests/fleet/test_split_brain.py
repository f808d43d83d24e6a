"""An old primary that wakes up beside the one that has taken its place."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chronoprof_sidecar.protocol import INGEST_PATH
from tests.fleet.fleet import ROUNDS, Fleet, prove, url_of
from tests.process.sidecar import INGEST_KEY
from tests.proof import Proof
from tests.scale import scaled

pytestmark = pytest.mark.system

BODY = {"durations": {"told to the old primary": [1]}}


@pytest.mark.timeout(scaled(120, full=900))
def test_an_old_primary_that_wakes_up(fleet: Fleet, proof: Proof) -> None:
    """A primary that froze, was replaced and wakes up acknowledges nothing and reports nothing: replicas that can reach
    both go on with the new one, one that can reach the old one alone refuses; nothing is lost or counted twice.
    """
    cluster = fleet.cluster
    acknowledged_by_the_old = reported_by_the_old = 0
    for _ in range(ROUNDS):
        fleet.ship()
        with cluster.primary.frozen():
            old = cluster.promote()
            fleet.ship()
        with ThreadPoolExecutor(2) as pool:
            newcomer, astray = pool.map(fleet.start, (fleet.url, url_of(fleet.database, [old.port])))
        fleet.add(newcomer)
        fleet.ship()
        acknowledged_by_the_old += astray.request("POST", INGEST_PATH, BODY, key=INGEST_KEY)[0] != 503
        reported_by_the_old += astray.request("GET", "/api/v1/profiling/data")[0] != 503
        tables = [replica.request("GET", "/api/v1/profiling/data")[0] for replica in fleet.replicas]
        assert [200] * len(tables) == tables
        for sidecar in (fleet.replicas[0], astray):
            fleet.remove(sidecar)
            sidecar.close()
        old.kill_9()
        cluster.bring_back(old)
    proof.reached("acknowledged by the old primary", acknowledged_by_the_old, goal=0)
    proof.reached("reported by the old primary", reported_by_the_old, goal=0)
    prove(fleet, proof, str(ROUNDS))
    assert (0, 0) == (acknowledged_by_the_old, reported_by_the_old)
