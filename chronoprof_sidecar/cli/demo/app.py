"""The demo's web app: a small service that remembers sentences, instrumented as any Flask app would be.

Shows all there is to do in an app: import the profiler, mark functions, wrap the app. Its work is real, its waiting for
a database is made up. Must not know the rest of the demo: gunicorn runs it, here and in the demo's container.
"""

import random
import time
from collections import deque
from typing import Final

from flask import Flask, request
from flask.typing import ResponseReturnValue

from chronoprof_sidecar.client import profiler
from chronoprof_sidecar.client.flask import ProfilingMiddleware

MAX_MEMORIES: Final = 500
"""Kept per worker, so that the demo's memory is bounded."""
BUSY_SHARE: Final = 0.03
"""Of all attempts to write, how many find the store busy."""


class StoreBusyError(Exception):
    """The made-up database had no connection to spare."""


class Memories:
    """Sentences and the words in them."""

    def __init__(self) -> None:
        self._entries: deque[tuple[str, frozenset[str]]] = deque(maxlen=MAX_MEMORIES)

    @profiler.timed("memories.add")
    def add(self, text: str) -> int:
        """Remember a sentence and return how many there are.

        Raises:
            StoreBusyError: try again later.
        """
        _wait_for_database(0.008)
        if random.random() < BUSY_SHARE:  # noqa: S311 -- weather, not secrets
            raise StoreBusyError
        self._entries.append((text, words_of(text)))
        return len(self._entries)

    @profiler.timed("memories.search")
    def search(self, query: str, limit: int) -> list[str]:
        """Return the sentences that share the most words with `query`, best first."""
        wanted = words_of(query)
        _wait_for_database(0.02)
        with profiler.timer("memories.search.rank"):
            ranked = sorted(self._entries, key=lambda entry: len(entry[1] & wanted), reverse=True)
        return [text for text, _ in ranked[:limit]]


@profiler.timed
def words_of(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.lower().split())


def _wait_for_database(median_seconds: float) -> None:
    # Log-normal, as waiting times are: most near the median, a long tail above it.
    time.sleep(median_seconds * random.lognormvariate(0.0, 0.5))


def create_app() -> Flask:
    """Return the app, with every endpoint timed."""
    app = Flask(__name__)
    ProfilingMiddleware(app)
    memories = Memories()

    @app.get("/api/v1/recall")
    def recall() -> ResponseReturnValue:
        return {"memories": memories.search(request.args.get("query", ""), limit=5)}

    @app.post("/api/v1/observe")
    def observe() -> ResponseReturnValue:
        text = request.get_data(as_text=True)
        if not text:
            return {"error": "nothing to observe"}, 400
        return {"memories": memories.add(text)}, 201

    @app.errorhandler(StoreBusyError)
    def report_busy(_error: StoreBusyError) -> ResponseReturnValue:
        return {"error": "the store is busy"}, 503

    return app
