"""`chronoprof import` before it has a database; what it does to one is tested in `tests/store/test_importing.py`."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.wire.windows import save_of

STORE = "postgresql://me:hush-hush@127.0.0.1:1/none"


@pytest.mark.parametrize(
    ("argv", "store", "message"),
    [
        ([], STORE, "nothing to import"),
        (["a.json"], "", "CHRONOPROF_STORE names no database"),
        (["a.json"], "embedded", "CHRONOPROF_STORE names no database"),
        (["a.json", "--store", STORE], "", "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, argv: list[str], store: str, message: str
) -> None:
    """Without anything to import, or a database to import it into, nothing begins; the URL is no flag."""
    monkeypatch.setenv("CHRONOPROF_STORE", store)
    ran = run("import", *argv)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err


def test_a_database_that_is_not_there_is_told_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is given, and the password is not."""
    monkeypatch.setenv("CHRONOPROF_STORE", STORE)
    Path("a.json").write_bytes(save_of({"a": [1000]}))
    ran = run("import", "a.json")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("chronoprof: cannot use the database of CHRONOPROF_STORE: ")
    assert "hush" not in ran.err


def test_a_directory_without_a_store_stays_as_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong path is told, and nothing is made there."""
    monkeypatch.setenv("CHRONOPROF_STORE", STORE)
    ran = run("import", "--data-dir", "wrong")
    assert (ran.code, "there is no store in" in ran.err) == (1, True)
    assert not Path("wrong").exists()
