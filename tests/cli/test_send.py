"""`chronoprof send`: one sample, counted or not, and the exit code says which."""

import json

import pytest

from tests.cli.conftest import Run, StandIn

INGEST = "POST /api/v1/profiling/ingest"
COUNTED = b'{"accepted": 1, "rejected_items": 0, "errors": [], "client": null, "duplicate": false}'


def test_a_sample_is_sent_with_its_labels(ask: Run, sidecar: StandIn) -> None:
    """Name, duration, failure and labels arrive as they were given, those not given not at all."""
    sidecar.answer(INGEST, COUNTED)

    assert ask("send", "backup.nightly", "12.5").out == "Recorded backup.nightly: 12.5 s.\n"
    ask("send", "ü\n", "0", "--error", "--service", "cron", "--version", "3")

    assert [json.loads(request.body) for request in sidecar.received] == [
        {"samples": [{"function_name": "backup.nightly", "duration": 12.5, "error": False}]},
        {"samples": [{"function_name": "ü\n", "duration": 0.0, "error": True}], "service": "cron", "version": "3"},
    ]
    assert sidecar.received[0].headers["Content-Type"] == "application/json"


def test_json_is_passed_through(ask: Run, sidecar: StandIn) -> None:
    """`--json` prints the answer as it came."""
    sidecar.answer(INGEST, COUNTED)

    assert ask("send", "a", "1", "--json").out == f"{COUNTED.decode()}\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'{"accepted": 0, "errors": [{"item": 0, "reason": "the name is reserved\\n"}]}', r"the name is reserved\n"),
        (b'{"accepted": 0, "errors": []}', "-"),
    ],
)
def test_a_sample_not_counted_is_a_failure(ask: Run, sidecar: StandIn, answer: bytes, reason: str) -> None:
    """200 is not enough: what was rejected is told with its reason, in exit code and in words."""
    sidecar.answer(INGEST, answer)

    ran = ask("send", "_other", "1")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"chronoprof: the sidecar did not count it: {reason}\n"


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "864001", "1s", ""])
def test_a_bad_duration_is_wrong_usage(ask: Run, sidecar: StandIn, seconds: str) -> None:
    """What can be no duration is not sent."""
    assert ask("send", "a", "--", seconds).code == 2
    assert sidecar.received == []
