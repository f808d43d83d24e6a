"""A small instrumented Celery app; its broker is a directory, so that it needs no server."""

import os

from celery import Celery

from chronoprof_sidecar.client import profiler
from chronoprof_sidecar.client.celery import ProfilingMiddleware


def make_app(directory: str) -> Celery:
    """Return an app whose messages are files."""
    app = Celery("shop", broker="filesystem://", set_as_current=False)
    app.conf.update(
        broker_transport_options={
            "data_folder_in": directory,
            "data_folder_out": directory,
            "control_folder": f"{directory}/control",
            "polling_interval": 0.05,
        },
        broker_connection_retry_on_startup=True,
        task_ignore_result=True,
        worker_enable_remote_control=False,
    )
    return app


app = make_app(os.environ.get("BROKER_DIRECTORY", "."))
ProfilingMiddleware(app)


@profiler.timed
def look_up(item: int) -> int:
    """Do what every task does."""
    return item


@app.task(name="get_item")  # type: ignore[untyped-decorator]
def get_item(item: int) -> int:
    """Look an item up; odd ones are missing."""
    if item % 2:
        raise KeyError(item)
    return look_up(item)
