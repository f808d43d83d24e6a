"""The order in which a change reaches the disk, which a power cut would reveal and a killed process cannot."""

from pathlib import Path

import pytest

from tests.faults.operations import Commit, Operation, Rotate, Save
from tests.faults.tracing import read_calls, recorded, recorder
from tests.process.sidecar import Sidecar
from tests.proof import Proof

SYSCALLS = "fsync,fdatasync,/^rename,write,/^send"
FILE, DIRECTORY, NAME, DATABASE, ANSWER = "file", "directory", "name", "database", "answer"

ORDERS: dict[str, tuple[type[Operation], list[str]]] = {
    "commit": (Commit, [DATABASE, ANSWER]),
    "save": (Save, [FILE, DIRECTORY, NAME, DIRECTORY, ANSWER]),
    # Once the commit says that the window is over, the file is all that is left of it: its entry in the directory is on
    # disk before, just like its content.
    "rotate": (Rotate, [FILE, DIRECTORY, DATABASE, NAME, DIRECTORY, DATABASE, ANSWER]),
}


def what_reached(call: str, arguments: str) -> str | None:
    """Say what a system call brought to the disk, or out of the house; None if neither."""
    if call.startswith("rename"):
        return NAME
    if call in ("fsync", "fdatasync"):
        path = arguments.partition("<")[2].partition(">")[0]
        return FILE if path.endswith(".tmp") else DIRECTORY if path.endswith("/saves") else DATABASE
    return ANSWER if "HTTP/1.1 " in arguments else None


@pytest.mark.system
@pytest.mark.parametrize("name", ORDERS)
def test_what_is_synced_before_what(sidecar: Sidecar, tmp_path: Path, name: str, proof: Proof) -> None:
    """A commit, save or rotate is answered after all of it is synced, each step after what it relies on."""
    make, order = ORDERS[name]
    operation = make(sidecar)
    operation.prepare()
    log = tmp_path / "strace.log"
    with recorded(sidecar.process.pid, log, SYSCALLS):
        assert operation.perform()
    reached = [what for what in (what_reached(*call) for call in read_calls(log)) if what]
    proof.reached("order", " → ".join(reached))
    assert order == reached


@pytest.mark.system
def test_directories_are_synced(tmp_path: Path, proof: Proof) -> None:
    """The directories that a first start makes are on disk before it listens, so that no file is lost with them."""
    log, directory = tmp_path / "strace.log", tmp_path / "sidecar"
    sidecar = Sidecar(directory, prefix=recorder(log, "/^mkdir,fsync")).start()
    try:
        calls = read_calls(log)
    finally:
        sidecar.close()
    made = [arguments.split('"')[1] for call, arguments in calls if call.startswith("mkdir")]
    synced = {arguments.partition("<")[2].partition(">")[0] for call, arguments in calls if call == "fsync"}
    proof.reached("directories made", len(made))
    assert [f"{directory}/data", f"{directory}/data/saves"] == [
        path for path in made if path.startswith(f"{directory}/")
    ]
    assert {f"{directory}", f"{directory}/data"} <= synced
