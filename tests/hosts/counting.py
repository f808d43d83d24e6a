"""What every host must hold to: calls in the sidecar are requests that were answered, no more and no fewer."""

from tests.process.app_server import AppServer, Load
from tests.process.sidecar import Sidecar, wait_until

REQUESTS = 200


def load(app: AppServer, requests: int = REQUESTS) -> int:
    """Make at least so many requests, four at a time, and return how many were answered."""
    users = Load(app, threads=4)
    wait_until(lambda: users.answered >= requests, f"{requests} answers")
    answered = users.stop()
    assert users.statuses == {200}, app.log()
    return answered


def wait_until_counted(sidecar: Sidecar, calls: dict[str, int]) -> None:
    """Wait until the sidecar has that many calls of every name; only hosts without an end need to wait."""
    wait_until(lambda: calls == sidecar.calls(), f"{calls}")


def assert_counted(sidecar: Sidecar, calls: dict[str, int], app: AppServer, *, senders_at_most: int) -> None:
    """Check the calls of every name, and that every process has one sender, which has said farewell."""
    assert calls == sidecar.calls(), app.log()
    senders = sidecar.senders()
    assert 1 <= len(senders) <= senders_at_most, senders
    assert len(senders) == len({sender["instance"] for sender in senders}), senders
    assert {True} == {sender["final"] for sender in senders}, (senders, app.log())
    assert "Traceback" not in app.log(), app.log()
