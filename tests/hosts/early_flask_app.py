"""The Flask app, with a timed call made while it is loaded."""

from tests.process.flask_app import app, look_up

__all__ = ["app"]

look_up(0)
