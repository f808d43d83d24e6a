from collections.abc import Callable

import pytest

from chronoprof_sidecar.client.delivery import Answer, Verdict
from chronoprof_sidecar.client.notices import Notices

Said = Callable[[], list[str]]


@pytest.fixture
def notices(said: Said) -> Notices:
    """Notices of a sidecar called `there`."""
    return Notices("there")


def test_nothing_to_say_while_all_is_well(notices: Notices, said: Said) -> None:
    """A sidecar that answers is not news."""
    seen = [notices.connected]
    for _ in range(2):
        notices.answered(Verdict.ACKNOWLEDGED, Answer(200, b""))
        seen.append(notices.connected)

    assert [None, True, True] == seen
    assert [] == said()


def test_going_and_coming_back_are_one_line_each(notices: Notices, said: Said) -> None:
    """However often it fails, the sidecar's absence is said once, and its return once."""
    for _ in range(3):
        notices.unanswered("Connection refused")
        notices.answered(Verdict.UNAVAILABLE, Answer(503, b""))
    assert notices.connected is False
    for _ in range(2):
        notices.answered(Verdict.ACKNOWLEDGED, Answer(200, b""))

    assert [
        "the sidecar at there is away (Connection refused); timings are kept and sent later",
        "the sidecar at there is back",
    ] == said()


def test_a_refusal_is_said_once_per_status(notices: Notices, said: Said) -> None:
    """A wrong key or URL is said once, and again when the answer changes."""
    for status in (401, 401, 404, 404):
        notices.answered(Verdict.REFUSED, Answer(status, b""))

    assert ["HTTP 401", "HTTP 404"] == [line[line.index("HTTP") :][:8] for line in said()]


def test_rejections_are_said_once_a_minute(said: Said) -> None:
    """While batches are rejected, one line a minute says why, printable whatever the sidecar answers."""
    times = iter([0.0, 30.0, 59.0, 61.0])
    notices = Notices("there", lambda: next(times))
    for _ in range(4):
        notices.answered(Verdict.REJECTED, Answer(400, b"bad\x1b[31m \xff name" + b"x" * 1000))

    assert 2 == len(said())
    assert said()[0].isprintable()
    assert len(said()[0]) < 300


def test_drops_and_threadlessness_are_said_once_a_minute(notices: Notices, said: Said) -> None:
    """Each reason for dropping has its own line, and a host without threads its own."""
    for _ in range(3):
        notices.dropped(5, "too many names")
        notices.dropped(7, "bad durations")
        notices.threadless()

    assert ["5 or more", "7 or more", "no backgr"] == [line[:9] for line in said()]
