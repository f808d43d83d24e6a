"""Fixtures of the framework tests."""

import pytest

from tests.client.frameworks.recording import Recorder


@pytest.fixture
def recorder() -> Recorder:
    """Return a profiler that is on and keeps what it is told."""
    return Recorder()
