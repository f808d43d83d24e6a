import pytest

from chronoprof_sidecar.client.switch import is_enabled
from chronoprof_sidecar.errors import SettingsError


@pytest.mark.parametrize("word", ["1", "true", "yes", "on", "TRUE", "Yes", " on "])
def test_on(word: str) -> None:
    """Profiling is on for each of the documented words, in any case."""
    assert is_enabled({"ENABLE_PROFILING": word}, None)


@pytest.mark.parametrize(
    "environ", [{}, {"ENABLE_PROFILING": ""}, {"ENABLE_PROFILING": "0"}, {"ENABLE_PROFILING": "False"}]
)
def test_off(environ: dict[str, str]) -> None:
    """Profiling is off unless it is asked for."""
    assert not is_enabled(environ, None)


def test_the_code_wins() -> None:
    """What is given in code wins over the environment."""
    assert is_enabled({"ENABLE_PROFILING": "0"}, True)
    assert not is_enabled({"ENABLE_PROFILING": "1"}, False)


def test_neither() -> None:
    """A word that is neither on nor off is a bad setting."""
    with pytest.raises(SettingsError, match=r"ENABLE_PROFILING: 'maybe'"):
        is_enabled({"ENABLE_PROFILING": "maybe"}, None)
