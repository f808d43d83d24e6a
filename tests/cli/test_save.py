"""`chronoprof save` and `chronoprof rotate`: what is asked for, and what is told."""

from tests.cli.conftest import Run, StandIn

SAVE = "POST /api/v1/profiling/save"
ROTATE = "POST /api/v1/profiling/rotate"
SAVED = b'{"message": "Profiling data saved to a.json", "file": {"name": "a.json"}}'
ROTATED = b'{"message": "Profiling data saved to a.json", "saved_generation": 7, "generation": 8}'


def test_save_tells_the_name(ask: Run, sidecar: StandIn) -> None:
    """The sidecar's own message is printed; without a name the sidecar chooses one."""
    sidecar.answer(SAVE, SAVED)

    assert ask("save").out == "Profiling data saved to a.json\n"
    assert ask("save", "a b.json", "--no-overwrite", "--json").out == f"{SAVED.decode()}\n"
    assert [request.target.partition("?")[2] for request in sidecar.received] == [
        "",
        "file_path=a+b.json&overwrite=false",
    ]


def test_rotate_tells_the_name_and_the_new_generation(ask: Run, sidecar: StandIn) -> None:
    """The next window's number is what the next `--generation` needs."""
    sidecar.answer(ROTATE, ROTATED)

    assert ask("rotate", "a.json", "--generation", "7").out == (
        "Profiling data saved to a.json\nThe new window is generation 8.\n"
    )
    assert ask("rotate", "--json").out == f"{ROTATED.decode()}\n"
    assert [request.target.partition("?")[2] for request in sidecar.received] == ["file_path=a.json&generation=7", ""]
