"""`chronoprof senders`: silence and losses at a glance."""

import json
from typing import Any

import pytest

from chronoprof_sidecar.cli.senders import render_senders
from tests.cli.conftest import Run, StandIn

SENDERS = "GET /api/v1/profiling/senders"
SENDER: dict[str, Any] = {
    "id": "5f1c", "service": "shop", "version": "2026.11.3", "instance": "web-1:412", "silent_seconds": 0.5,
    "last_batch": "2026-11-26T22:44:05.762921Z",
    "batches": 17, "calls": 4200, "dropped": 1, "rejected": 2, "unknown": 3, "final": False,
}  # fmt: skip
SILENT = SENDER | {"instance": "web-1:413", "silent_seconds": 150.5}
ENDED = SENDER | {"instance": "web-1:99\x1b", "version": "", "final": True, "unknown": 0, "silent_seconds": 900.0}


def answer(*senders: dict[str, Any]) -> bytes:
    return json.dumps({"senders": senders}).encode()


def hints(*senders: dict[str, Any]) -> list[str]:
    """Return what stands below the table."""
    return render_senders(senders, None).split("\n")[1 + len(senders) :]


def test_senders_are_listed_with_their_silence(ask: Run, sidecar: StandIn) -> None:
    """A process that ended is not called silent, and losses are summed."""
    sidecar.answer(SENDERS, answer(ENDED, SILENT, SENDER))

    assert ask("senders", "--all").out.splitlines()[:4] == [
        "INSTANCE      SERVICE  VERSION              LAST BATCH  SILENT  CALLS  LOST",
        "web-1:413     shop     2026.11.3  2026-11-26T22:44:05Z   2 min   4200     6",
        "web-1:412     shop     2026.11.3  2026-11-26T22:44:05Z     0 s   4200     6",
        "web-1:99\\x1b  shop     -          2026-11-26T22:44:05Z   ended   4200     3",
    ]


def test_those_that_ended_do_not_bury_the_silent(ask: Run, sidecar: StandIn) -> None:
    """A day of workers that come and go leaves the table to those that should be shipping."""
    sidecar.answer(SENDERS, answer(*[ENDED] * 40, SILENT))

    lines = ask("senders").out.splitlines()
    assert lines[1].startswith("web-1:413")
    assert "40 processes ended in order (--all lists them)." == lines[2]
    assert "1 process ended in order (--all lists them)." == render_senders([ENDED], None)


def test_silence_is_explained_by_what_the_others_do() -> None:
    """One silent process among others is a suspect; a service that is silent as a whole may have no calls."""
    assert hints(SENDER) == []
    assert hints(SILENT, SENDER) == [
        (
            "shop: 1 of 2 processes fell silent without a last batch while the rest goes on (web-1:413): "
            "killed, hung, or cut off from the sidecar?"
        )
    ]
    assert hints(SILENT) == [
        ("shop: 1 of 1 process fell silent without a last batch: killed, hung, or cut off from the sidecar?")
    ]
    assert hints(SILENT, SENDER | {"service": "till"}) == hints(SILENT)


def test_suspects_are_named() -> None:
    """Three instances at most; a process without one goes by its id, in the table, too."""
    nameless = SILENT | {"instance": ""}
    lines = render_senders([nameless, SILENT, SILENT, SILENT, SENDER], None).split("\n")
    assert lines[1].startswith("5f1c ")
    assert "(5f1c, web-1:413, web-1:413 and 1 more)" in lines[-1]


@pytest.mark.parametrize("width", [80, 100])
def test_all_of_it_fits_a_terminal(width: int) -> None:
    """Neither a long instance nor the hints leave the line."""
    lines = render_senders([SILENT | {"instance": "a" * 128, "service": "b" * 128, "version": "c"}, SENDER], width)
    assert max(map(len, lines.split("\n"))) <= width


def test_nobody_is_said_in_words(ask: Run, sidecar: StandIn) -> None:
    """No rows are no table; `--json` stays what the sidecar said."""
    sidecar.answer(SENDERS, b'{"senders": []}')

    assert ask("senders").out == "No process has shipped anything yet.\n"
    assert ask("senders", "--json").out == '{"senders": []}\n'
