import pytest

from chronoprof_sidecar.domain.batch import ItemError, SequenceId
from chronoprof_sidecar.domain.senders import (
    EVICTABLE_AFTER_MINUTES,
    REMEMBERED_ENDED_MINUTES,
    REMEMBERED_MINUTES,
    Sender,
    Senders,
    Verdict,
    advance,
    judge,
)
from chronoprof_sidecar.errors import SequenceGapError, SequenceReusedError, UnavailableError
from chronoprof_sidecar.protocol import MAX_SEQ
from tests.domain.building import batch, named

DAY = 24 * 60


def sender(sender_id: str = "a", seq: int = 1, *, minute: int = 0, final: bool = False, digest: bytes = b"1") -> Sender:
    """Return a sender as of a batch of one call."""
    client = SequenceId(sender_id, seq)
    return advance(None, client, batch(*named("f"), client=client, final=final, digest=digest), 0, minute)


def remember(*known: Sender, max_senders: int = 100) -> Senders:
    """Return senders, remembered in that order."""
    senders = Senders(max_senders)
    for each in known:
        senders.put(each)
    return senders


def ids(senders: Senders) -> list[str]:
    """Return the ids of remembered senders, sorted."""
    return sorted(each.id for each in senders)


@pytest.mark.parametrize(
    ("last", "seq", "digest", "verdict"),
    [
        (None, 1, b"1", Verdict.NEW),
        (7, 8, b"1", Verdict.NEW),
        (7, 8, b"2", Verdict.NEW),
        (7, 7, b"1", Verdict.REPEAT),
        (7, 6, b"1", Verdict.OLD),
        (7, 1, b"2", Verdict.OLD),
        (MAX_SEQ - 1, MAX_SEQ, b"2", Verdict.NEW),
        (MAX_SEQ, MAX_SEQ, b"1", Verdict.REPEAT),
    ],
)
def test_the_counting_rule_accepts(last: int | None, seq: int, digest: bytes, verdict: Verdict) -> None:
    """Last + 1 is counted, last with the same body repeats its answer, lower was counted long ago."""
    known = sender(seq=last) if last else None
    assert verdict is judge(known, SequenceId("a", seq), digest)


@pytest.mark.parametrize(
    ("last", "seq", "digest", "error", "said"),
    [
        (None, 2, b"1", SequenceGapError, "unknown here"),
        (None, MAX_SEQ, b"1", SequenceGapError, f"not {MAX_SEQ}"),
        (7, 9, b"1", SequenceGapError, "must be 8, not 9"),
        (7, 7, b"2", SequenceReusedError, "7 was used"),
    ],
)
def test_the_counting_rule_refuses(
    last: int | None, seq: int, digest: bytes, error: type[Exception], said: str
) -> None:
    """Any gap, an unknown sender that does not begin at 1, and a number used for another body are refused."""
    known = sender(seq=last) if last else None
    with pytest.raises(error, match=said):
        judge(known, SequenceId("a", seq), digest)


def test_every_batch_moves_a_sender_on() -> None:
    """The last batch decides what a repeat is answered; calls and losses add up from the first on."""
    reasons = (ItemError("bad", "why"),)
    client = SequenceId("a", 1)
    first = advance(None, client, batch(*named("f", "g"), client=client, lost=(1, 2, 3), digest=b"1"), 100, 5)
    client = SequenceId("a", 2)
    second_batch = batch(
        *named("f"), version="2", client=client, lost=(10, 20, 30), errors=reasons, final=True, digest=b"2"
    )
    second = advance(first, client, second_batch, 200, 6)
    assert (1, 1, reasons, b"2") == (second.accepted, second.rejected_items, second.errors, second.digest)
    assert (2, 3, 11, 22, 33) == (second.seq, second.calls, second.dropped, second.rejected, second.unknown)
    assert (100, 200, 6) == (second.first_batch_ns, second.last_batch_ns, second.active_minute)
    assert ("shop", "2", "web-1:412", True) == (second.service, second.version, second.instance, second.final)
    assert (1, 2, 1, b"1") == (first.seq, first.calls, first.dropped, first.digest)


def test_senders_are_found_by_their_newest_state() -> None:
    """One id is one sender, whether it has ended or begun again."""
    senders = remember(sender(seq=1), sender("b"), sender(seq=2, final=True), sender(seq=3))
    found = senders.get("a")
    assert found is not None
    assert 3 == found.seq
    assert ["a", "b"] == ids(senders)
    assert 2 == len(senders)
    assert senders.get("c") is None


@pytest.mark.parametrize(("final", "remembered"), [(False, REMEMBERED_MINUTES), (True, REMEMBERED_ENDED_MINUTES)])
def test_a_silent_sender_is_forgotten_in_time(final: bool, remembered: int) -> None:
    """A sender is remembered for seven days of service time, one that ended for an hour, and not a minute less."""
    senders = remember(sender(minute=50, final=final), sender("b", minute=51, final=final))
    assert [] == senders.forget(50 + remembered - 1)
    assert ["a"] == senders.forget(50 + remembered)
    assert ["b"] == ids(senders)
    assert senders.get("a") is None


def test_the_times_of_remembering_are_those_of_the_contract() -> None:
    """Seven days, an hour, two days: of service time, in minutes."""
    assert (7 * DAY, 60, 2 * DAY) == (REMEMBERED_MINUTES, REMEMBERED_ENDED_MINUTES, EVICTABLE_AFTER_MINUTES)


def test_a_sender_that_speaks_again_is_remembered_from_then_on() -> None:
    """Silence counts from the last batch, and a sender that ended and goes on is no longer an ended one."""
    senders = remember(sender(minute=0), sender("b", minute=0, final=True))
    senders.put(sender(seq=2, minute=100))
    senders.put(sender("b", seq=2, minute=100))
    assert [] == senders.forget(REMEMBERED_MINUTES + 99)
    assert ["a", "b"] == sorted(senders.forget(REMEMBERED_MINUTES + 100))


def test_room_is_made_only_when_it_is_short() -> None:
    """As long as all fit, nobody is forgotten, however long silent."""
    senders = remember(sender("a"), sender("b"), max_senders=3)
    assert [] == senders.make_room(1, minute=10 * DAY)
    assert ["a", "b"] == ids(senders)


def test_room_is_made_by_those_silent_longest() -> None:
    """Only as many as are needed go, the one silent longest first, and only after two days of silence."""
    senders = remember(sender("a", minute=0), sender("b", minute=1), sender("c", minute=2), max_senders=3)
    assert ["a", "b"] == senders.make_room(2, minute=2 * DAY + 1)
    assert ["c"] == ids(senders)


def test_those_who_ended_make_room_first() -> None:
    """A sender that said its batch was the last goes before one that may come back."""
    senders = remember(sender("a", minute=0), sender("b", minute=1, final=True), max_senders=2)
    assert ["b"] == senders.make_room(1, minute=3 * DAY)


@pytest.mark.parametrize("newcomers", [1, 2])
def test_nobody_who_may_come_back_makes_room(newcomers: int) -> None:
    """Too few silent senders: the newcomer is told to come back, and nobody is forgotten."""
    quiet, busy = sender("a", minute=0 if newcomers == 2 else 1), sender("b", minute=1)
    senders = remember(quiet, busy, max_senders=2)
    with pytest.raises(UnavailableError, match="CHRONOPROF_MAX_SENDERS") as refused:
        senders.make_room(newcomers, minute=2 * DAY)
    assert 60 == refused.value.retry_after_seconds
    assert ["a", "b"] == ids(senders)
