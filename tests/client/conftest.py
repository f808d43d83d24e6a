import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chronoprof_sidecar.client import Profiler
from tests.client.scripted import KEY, ScriptedSidecar, serve

MakeProfiler = Callable[..., Profiler]


@pytest.fixture
def sidecar() -> Iterator[ScriptedSidecar]:
    """A sidecar on the loopback interface that counts, and misbehaves as its script says."""
    with serve(ScriptedSidecar()) as running:
        yield running


@pytest.fixture
def make_profiler(sidecar: ScriptedSidecar) -> Iterator[MakeProfiler]:
    """Make enabled profilers that ship to the sidecar; all are closed at the end."""
    made: list[Profiler] = []

    def make(**overrides: Any) -> Profiler:
        settings: dict[str, Any] = {
            "enabled": True,
            "url": sidecar.url,
            "api_key": KEY,
            "flush_interval_seconds": 0.05,
        } | overrides
        made.append(Profiler(environ={}, **settings))
        return made[-1]

    yield make
    for profiler in made:
        profiler.close(timeout=0.2)


@pytest.fixture
def profiler(make_profiler: MakeProfiler) -> Profiler:
    """An enabled profiler that ships to the sidecar every 50 ms."""
    return make_profiler()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Return what the shim has logged so far."""
    caplog.set_level(logging.DEBUG, logger="chronoprof_sidecar.client")
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("chronoprof_sidecar.client")]
