"""`ProfilingMiddleware` for Celery workers: times tasks by the signals around them.

    ProfilingMiddleware(app)

One attempt of a task is one call, named `celery <task name>`, from `task_prerun` to `task_postrun`. An attempt that
ends in FAILURE is an error; one that asks for a retry is not, as Celery counts it: the last attempt decides. What a
task waited in the queue is not part of its time.
"""

import importlib
from collections.abc import Callable
from time import perf_counter
from typing import Any

from chronoprof_sidecar.client.exchange import RequestProfiler, chosen_profiler
from chronoprof_sidecar.client.lifespan import CLOSE_SECONDS


class ProfilingMiddleware:
    """Times every task that runs in this process and in the worker processes that it forks.

    `app` limits it to the tasks of one Celery app; None means all.
    """

    def __init__(self, app: Any = None, *, profiler: RequestProfiler | None = None) -> None:
        self._app = app
        self._profiler = chosen_profiler(profiler)
        # Middlewares of several apps hear all the signals of a process and must not meet: neither in the request of
        # the running task, where the start is kept as long as the attempt lives, nor in Celery's list of receivers.
        self._own = f"chronoprof_started_{id(self)}"
        for signal, receiver in self._receivers():
            signal.connect(receiver, weak=False, dispatch_uid=self._own)

    def disconnect(self) -> None:
        """Time no further task."""
        for signal, receiver in self._receivers():
            signal.disconnect(receiver, dispatch_uid=self._own)

    def _receivers(self) -> tuple[tuple[Any, Callable[..., None]], ...]:
        signals = importlib.import_module("celery.signals")
        return (
            (signals.task_prerun, self._start),
            (signals.task_postrun, self._finish),
            (signals.worker_process_shutdown, self._close),
        )

    def _start(self, task: Any, **_signal: object) -> None:
        if self._profiler.enabled and (self._app is None or task.app is self._app):
            setattr(task.request, self._own, perf_counter())

    def _finish(self, task: Any, state: str | None = None, **_signal: object) -> None:
        started = getattr(task.request, self._own, None)
        if started is not None:
            delattr(task.request, self._own)
            self._profiler.record(f"celery {task.name}", perf_counter() - started, error=state == "FAILURE")
            self._profiler.request_done()

    def _close(self, **_signal: object) -> None:
        """Ship what a pool's process recorded: it ends without atexit."""
        if self._profiler.enabled:
            self._profiler.close(timeout=CLOSE_SECONDS)
