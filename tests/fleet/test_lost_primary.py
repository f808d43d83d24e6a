"""A primary that is killed under load, again and again, and standbys that take over."""

import pytest

from tests.fleet.fleet import ROUNDS, Fleet, prove
from tests.proof import Proof
from tests.scale import scaled

pytestmark = pytest.mark.system


@pytest.mark.timeout(scaled(120, full=600))
def test_a_primary_that_is_killed(fleet: Fleet, proof: Proof) -> None:
    """When the primary is killed under load and a standby promoted, no acknowledged call is lost or counted twice."""
    cluster = fleet.cluster
    for _ in range(ROUNDS):
        fleet.ship()
        cluster.primary.kill_9()
        lost = cluster.promote()
        fleet.ship()
        cluster.bring_back(lost)
    prove(fleet, proof, f"{ROUNDS}, each with another primary")
