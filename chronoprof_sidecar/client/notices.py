"""What the shim says in the log, and how rarely: one line when something changes, one a minute while calls are lost.

Owns the wording and the state of the connection as people see it. Must not know how delivery works.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from chronoprof_sidecar.client.delivery import Answer, Verdict

logger = logging.getLogger(__name__)

_SAID_EVERY_SECONDS: Final = 60.0
_SHOWN_ANSWER_LENGTH: Final = 200


class Notices:
    """Turns what happens into few log lines. Used by one thread at a time."""

    def __init__(self, place: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._clock = clock
        self._state = ""
        self._said_at: dict[str, float] = {}
        self.connected: bool | None = None
        """Whether the last request reached the sidecar; None before the first."""

    def answered(self, verdict: Verdict, answer: Answer) -> None:
        """Say what an answer means, if it is news."""
        if verdict is Verdict.UNAVAILABLE:
            self.unanswered(f"HTTP {answer.status}")
            return
        if verdict is Verdict.REFUSED:
            self.connected = False
            if self._changed(f"refused {answer.status}"):
                logger.warning(
                    "%s refuses timings (HTTP %d): check CHRONOPROF_URL and the API key; they are kept meanwhile",
                    self._place,
                    answer.status,
                )
            return
        was_away, self.connected = self.connected is False, True
        self._state = ""
        if was_away:
            logger.warning("the sidecar at %s is back", self._place)
        if verdict is Verdict.REJECTED and self._is_time_for("rejected"):
            logger.warning("the sidecar rejected a batch (HTTP %d): %s", answer.status, _shown(answer.body))

    def unanswered(self, reason: str) -> None:
        """Say that the sidecar is away, once until it is back."""
        self.connected = False
        if self._changed("away"):
            logger.warning("the sidecar at %s is away (%s); timings are kept and sent later", self._place, reason)

    def dropped(self, calls: int, reason: str) -> None:
        """Say that calls were dropped."""
        if self._is_time_for(reason):
            logger.warning("%d or more timed calls were dropped: %s", calls, reason)

    def threadless(self) -> None:
        """Say that no thread can run here."""
        if self._is_time_for("threadless"):
            logger.warning(
                "no background thread can run in this process; timings are sent between requests and at exit "
                "(uWSGI: set enable-threads)"
            )

    def left_behind(self) -> None:
        """Say that this process only loads the app, and forks."""
        if self._is_time_for("left behind"):
            logger.warning(
                "calls timed while uWSGI's master loads the app are not sent; with lazy-apps each worker loads it"
            )

    def _changed(self, state: str) -> bool:
        changed = self._state != state
        self._state = state
        return changed

    def _is_time_for(self, what: str) -> bool:
        now = self._clock()
        said_at = self._said_at.get(what)
        if said_at is not None and now - said_at < _SAID_EVERY_SECONDS:
            return False
        self._said_at[what] = now
        return True


def _shown(answer: bytes) -> str:
    text = answer[:_SHOWN_ANSWER_LENGTH].decode("utf-8", "replace")
    return "".join(character if character.isprintable() else " " for character in text)
