"""Celery: tasks in a worker and in place, by their signals."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from celery.signals import worker_process_shutdown

from chronoprof_sidecar.client.celery import ProfilingMiddleware
from tests.client.frameworks.recording import Recorder, Sample


def add(a: int, b: int) -> int:
    """Succeed."""
    return a + b


def broken() -> None:
    """Raise."""
    raise LookupError


def outer(self: Any) -> None:
    """Run another task inside of this one."""
    self.app.tasks["shop.add"].delay(1, 2)


def flaky(self: Any) -> None:
    """Ask for a retry, twice."""
    if self.request.retries < 2:
        raise self.retry(countdown=0)


def queue() -> Any:
    """Return a Celery app whose tasks run where they are called."""
    app = Celery("shop", set_as_current=False)
    app.conf.task_always_eager = True
    for task, options in ((add, {}), (broken, {}), (outer, {"bind": True}), (flaky, {"bind": True, "max_retries": 2})):
        app.task(name=f"shop.{task.__name__}", shared=False, **options)(task)
    return app


@pytest.fixture
def app(recorder: Recorder) -> Iterator[Any]:
    """Return a Celery app that is timed."""
    made = queue()
    middleware = ProfilingMiddleware(made, profiler=recorder)
    yield made
    middleware.disconnect()


@pytest.mark.parametrize(
    ("task", "arguments", "samples"),
    [
        ("shop.add", (1, 2), [Sample("celery shop.add")]),
        ("shop.broken", (), [Sample("celery shop.broken", True)]),
        ("shop.outer", (), [Sample("celery shop.add"), Sample("celery shop.outer")]),
        ("shop.flaky", (), [Sample("celery shop.flaky")] * 3),
    ],
)
def test_tasks_are_named_and_counted_by_attempt(
    app: Any, recorder: Recorder, task: str, arguments: tuple[int, ...], samples: list[Sample]
) -> None:
    """Every attempt of a task counts under its name; failures are errors, retries are not; tasks may nest."""
    app.tasks[task].delay(*arguments)
    assert samples == recorder.samples
    assert len(samples) == recorder.requests_done


def test_other_apps_are_left_alone(app: Any, recorder: Recorder) -> None:
    """A middleware for one app does not time the tasks of another; one for all apps does."""
    other = queue()
    other.tasks["shop.add"].delay(1, 2)
    assert [] == recorder.samples
    everything = ProfilingMiddleware(profiler=recorder)
    other.tasks["shop.add"].delay(1, 2)
    assert [Sample("celery shop.add")] == recorder.samples
    app.tasks["shop.add"].delay(1, 2)
    everything.disconnect()
    assert [Sample("celery shop.add")] * 3 == recorder.samples


def test_a_disconnected_middleware_is_silent(app: Any, recorder: Recorder) -> None:
    """Switched off or disconnected, tasks run and nothing is recorded."""
    recorder.enabled = False
    app.tasks["shop.add"].delay(1, 2)
    worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    assert [] == recorder.samples
    assert [] == recorder.close_timeouts


def test_the_end_of_a_pools_process_closes_the_profiler(app: Any, recorder: Recorder) -> None:
    """Processes of the prefork pool end without atexit: their signal ships what they recorded."""
    worker_process_shutdown.send(sender=None, pid=1, exitcode=0)
    assert [2.0] == recorder.close_timeouts
