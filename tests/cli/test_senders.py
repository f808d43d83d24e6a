"""`chronoprof senders`: silence and losses at a glance."""

import json

from tests.cli.conftest import Run, StandIn

SENDERS = "GET /api/v1/profiling/senders"
SENDER = {
    "id": "5f1c", "service": "shop", "version": "2026.11.3", "instance": "web-1:412", "silent_seconds": 150.5,
    "batches": 17, "calls": 4200, "dropped": 1, "rejected": 2, "unknown": 3, "final": False,
}  # fmt: skip


def test_senders_are_listed_with_their_silence(ask: Run, sidecar: StandIn) -> None:
    """A process that ended is not called silent, and losses are summed."""
    ended = SENDER | {"instance": "web-1:99\x1b", "service": "", "version": "", "final": True, "unknown": 0}
    sidecar.answer(SENDERS, json.dumps({"senders": [SENDER, ended]}).encode())

    assert ask("senders").out.splitlines() == [
        "INSTANCE      SERVICE  VERSION    SILENT  CALLS  LOST",
        "web-1:412     shop     2026.11.3   2 min   4200     6",
        "web-1:99\\x1b  -        -           ended   4200     3",
    ]


def test_nobody_is_said_in_words(ask: Run, sidecar: StandIn) -> None:
    """No rows are no table; `--json` stays what the sidecar said."""
    sidecar.answer(SENDERS, b'{"senders": []}')

    assert ask("senders").out == "No process has shipped anything yet.\n"
    assert ask("senders", "--json").out == '{"senders": []}\n'
