"""The demo's users: threads that ask the app at a bounded rate and count its answers.

Must not know what is measured: its count is the independent one that the sidecar's is held against.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import Final
from urllib.parse import quote

USERS: Final = 8
PAUSE_SECONDS: Final = 0.05
"""On average, between the answer to one request of a user and the next: about 100 requests a second in all."""
TIMEOUT_SECONDS: Final = 10.0
RECALL_SHARE: Final = 0.7
"""The rest of the requests observe."""

SENTENCE: Final = "the clock on every wall of this house tells another time and none of them is wrong for long"


class User:
    """One thread's requests."""

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)  # noqa: S311 -- the same load in every demo
        self.answered = 0
        self.failed = 0
        """Of the answered ones, how many with a 5xx status."""
        self.unanswered = 0

    def ask_until(self, stopping: Event) -> None:
        """Send one request after the other."""
        while not stopping.wait(self._chance.expovariate(1 / PAUSE_SECONDS)):
            self.ask()

    def ask(self) -> None:
        """Send one request and book what became of it."""
        try:
            status = self._request()
        except (OSError, HTTPException):
            self.unanswered += 1
        else:
            self.answered += 1
            self.failed += status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def _request(self) -> int:
        text = " ".join(self._chance.sample(SENTENCE.split(), k=5))
        connection = HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_SECONDS)
        try:
            if self._chance.random() < RECALL_SHARE:
                connection.request("GET", f"/api/v1/recall?query={quote(text)}")
            else:
                connection.request(
                    "POST", "/api/v1/observe", body=text.encode(), headers={"Content-Type": "text/plain"}
                )
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()


class Load:
    """All users together."""

    def __init__(self, users: list[User]) -> None:
        self._users = users

    @property
    def answered(self) -> int:
        """Requests that got an answer."""
        return sum(user.answered for user in self._users)

    @property
    def failed(self) -> int:
        """Requests whose answer was a 5xx."""
        return sum(user.failed for user in self._users)

    @property
    def unanswered(self) -> int:
        """Requests that got no answer; whether the app has timed them is unknown."""
        return sum(user.unanswered for user in self._users)


@contextmanager
def run_load(port: int) -> Iterator[Load]:
    """Keep the app at `port` of this machine busy inside the block; after it, no request is under way."""
    users = [User(port, seed) for seed in range(USERS)]
    stopping = Event()
    threads = [
        Thread(target=user.ask_until, args=(stopping,), name=f"demo-user-{index}") for index, user in enumerate(users)
    ]
    for thread in threads:
        thread.start()
    try:
        yield Load(users)
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
