"""`chronoprof reset`: the answer has no body, its header names the new generation."""

from tests.cli.conftest import Run, StandIn

RESET = "POST /api/v1/profiling/reset"


def test_reset_prints_the_new_generation(ask: Run, sidecar: StandIn) -> None:
    """People read a sentence, programs a JSON object."""
    sidecar.answer(RESET, status=204, X_Chronoprof_Generation="8")

    assert ask("reset").out == "Reset. The new window is generation 8.\n"
    assert ask("reset", "--json").out == '{"generation": 8}\n'
    assert [request.target for request in sidecar.received] == ["/api/v1/profiling/reset"] * 2


def test_a_reset_of_another_generation_fails(ask: Run, sidecar: StandIn) -> None:
    """`--generation` travels, and the refusal is told."""
    conflict = b'{"error": {"code": "generation_conflict", "message": "the generation is 8"}}'
    sidecar.answer(RESET, conflict, status=409)

    ran = ask("reset", "--generation", "7")

    assert (ran.code, ran.err) == (1, "chronoprof: 409 generation_conflict: the generation is 8\n")
    assert sidecar.received[0].target.endswith("?generation=7")
