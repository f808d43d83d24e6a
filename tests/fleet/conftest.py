from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.cluster import Cluster, running_cluster
from tests.fleet.fleet import Fleet, running_fleet


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three servers for all cases; each case has a database of its own, and leaves all three running."""
    with running_cluster() as running:
        yield running


@pytest.fixture
def fleet(request: pytest.FixtureRequest, tmp_path: Path, cluster: Cluster) -> Iterator[Fleet]:
    """Replicas and senders, under load."""
    with running_fleet(tmp_path, cluster, request.function.__name__) as running:
        yield running
