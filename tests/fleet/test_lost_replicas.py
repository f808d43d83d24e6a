"""Replicas that die, and others that come, while all of them are busy."""

import pytest

from tests.fleet.fleet import ROUNDS, Fleet, prove
from tests.proof import Proof
from tests.scale import scaled

pytestmark = pytest.mark.system


@pytest.mark.timeout(scaled(120, full=600))
def test_replicas_that_die_and_come(fleet: Fleet, proof: Proof) -> None:
    """Replicas may be killed and added under load, in any number: what any of them acknowledged is counted once."""
    for number in range(ROUNDS):
        fleet.ship()
        dying = fleet.replicas[: 1 + number % 2]
        for replica in dying:
            replica.kill()
        fleet.ship()
        for replica in dying:
            fleet.remove(replica)
            fleet.add(fleet.start())
    fleet.ship()
    prove(fleet, proof, f"{ROUNDS}, one or two replicas each")
