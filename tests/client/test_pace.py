import pytest

from chronoprof_sidecar.client.pace import Pace


def pace(jitter: float = 0.5, interval_seconds: float = 1.0) -> Pace:
    return Pace(interval_seconds, lambda: jitter, now=0.0)


@pytest.mark.parametrize(("jitter", "due"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_intervals_vary_by_a_fifth(jitter: float, due: float) -> None:
    """The workers of one app do not flush in step: intervals vary by 20 % either way."""
    assert pytest.approx(due) == pace(jitter).due_at


def test_backoff_doubles_up_to_a_minute() -> None:
    """Failures are retried after a random part of a bound that doubles up to 60 s."""
    retries = pace(jitter=1.0)
    bounds = []
    for _ in range(9):
        retries.back_off(now=0.0)
        bounds.append(retries.due_at)

    assert [2, 4, 8, 16, 32, 60, 60, 60, 60] == bounds
    assert retries.failing


def test_backoff_has_full_jitter() -> None:
    """The random part starts at nothing, so that many processes spread evenly."""
    retries = pace(jitter=0.0)
    retries.back_off(now=7.0)

    assert 7.0 == retries.due_at


@pytest.mark.parametrize(("asked", "waited"), [(5.0, 5.0), (300.0, 300.0), (3600.0, 300.0), (-1.0, 0.0)])
def test_retry_after_is_obeyed_up_to_five_minutes(asked: float, waited: float) -> None:
    """The sidecar's Retry-After is the least that is waited, up to 300 s, and no hurry shortens it."""
    retries = pace(jitter=0.0)
    retries.back_off(now=0.0, retry_after_seconds=asked)
    retries.hurry(now=0.0)

    assert waited == retries.due_at


def test_refusals_are_retried_rarely() -> None:
    """A wrong key or URL is tried again after 60 s at the earliest, later up to every 15 min, hurry or not."""
    for jitter in (0.0, 0.999):
        refusals = pace(jitter)
        waits = []
        for _ in range(6):
            refusals.refused(now=0.0)
            refusals.hurry(now=0.0)
            waits.append(refusals.due_at)

        assert waits == sorted(waits)
        assert 60.0 <= waits[0]
        assert 900.0 == waits[-1]


def test_a_hurry_ends_the_interval_and_the_backoff() -> None:
    """Whoever waits for a flush need not sit out our own waiting times."""
    waiting = pace()
    waiting.hurry(now=0.25)
    assert waiting.is_due(0.25)

    waiting.back_off(now=0.25)
    assert not waiting.is_due(0.5)
    waiting.hurry(now=0.5)
    assert waiting.is_due(0.5)


def test_success_begins_anew() -> None:
    """After a delivery the next interval is an ordinary one, and the next failure the first."""
    recovered = pace(jitter=1.0)
    recovered.back_off(now=0.0)
    recovered.refused(now=0.0)
    recovered.rest(now=100.0)
    assert 101.2 == recovered.due_at
    assert not recovered.failing

    recovered.back_off(now=200.0)
    assert 202.0 == recovered.due_at


def test_more_to_send_is_due_at_once() -> None:
    """While a round has more batches, the next one follows its answer."""
    busy = pace()
    busy.go_on(now=3.0)

    assert busy.is_due(3.0)
