"""Standbys that stop where they are: one is borne, without both there is no quorum."""

import pytest

from chronoprof_sidecar.protocol import INGEST_PATH
from tests.fleet.fleet import ROUNDS, Fleet, is_ready, prove
from tests.process.sidecar import INGEST_KEY, wait_until
from tests.proof import Proof
from tests.scale import scaled

pytestmark = pytest.mark.system

BODY = {"durations": {"never acknowledged": [1]}}


@pytest.mark.timeout(scaled(120, full=900))
def test_standbys_that_freeze(fleet: Fleet, proof: Proof) -> None:
    """One frozen standby stops nobody; with both frozen every batch is refused for now, readiness says why, and as soon
    as they are thawed all goes on: no acknowledged call is lost or counted twice.
    """
    for number in range(ROUNDS):
        one, other = fleet.cluster.standbys[:: 1 if number % 2 else -1]
        with one.frozen():
            fleet.ship()
            with other.frozen():
                for replica in fleet.replicas:
                    wait_until(lambda each=replica: not is_ready(each), "refusals")
                refused = [replica.request("POST", INGEST_PATH, BODY, key=INGEST_KEY) for replica in fleet.replicas]
                reasons = [replica.request("GET", "/health/ready", key=None) for replica in fleet.replicas]
        fleet.ship()
        assert [503] * len(refused) == [status for status, _ in refused]
        assert all("quorum" in answer["error"]["message"] for _, answer in [*refused, *reasons])
    proof.reached("longest Retry-After", f"{fleet.senders.longest_wait_asked} s")
    prove(fleet, proof, f"{ROUNDS}, each standby alone and both together")
