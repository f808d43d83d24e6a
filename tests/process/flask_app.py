"""A small instrumented Flask app that gunicorn runs in tests."""

from flask import Flask

from chronoprof_sidecar.client import profiler
from chronoprof_sidecar.client.wsgi import ProfilingMiddleware

flask_app = Flask(__name__)


@profiler.timed
def look_up(item: int) -> dict[str, int]:
    """Do what every request does."""
    return {"item": item}


@flask_app.get("/items/<int:item>")
def get_item(item: int) -> dict[str, int]:
    """Answer an item."""
    return look_up(item)


app = ProfilingMiddleware(flask_app)
