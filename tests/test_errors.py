import re

import pytest

from chronoprof_sidecar import errors
from chronoprof_sidecar.errors import ChronoprofError, TooManyBadKeysError, UnavailableError

DELIBERATE = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ChronoprofError)]


def test_every_error_has_a_code_of_its_own() -> None:
    """A client can tell any two deliberate errors apart by their codes."""
    codes = [error.code for error in DELIBERATE]
    assert len(DELIBERATE) > 15
    assert sorted(set(codes)) == sorted(codes)
    assert [] == [code for code in codes if not re.fullmatch("[a-z]+(_[a-z]+)*", code)]


@pytest.mark.parametrize("error", DELIBERATE, ids=lambda error: error.code)
def test_an_error_shows_the_message_it_was_made_with(error: type[ChronoprofError]) -> None:
    """`str(error)` is the sentence that the user reads, nothing more."""
    assert "what went wrong" == str(error("what went wrong"))


def test_errors_that_pass_say_when_to_come_back() -> None:
    """A client is told to come back soon, or when it was said to."""
    assert 1 == UnavailableError("busy").retry_after_seconds
    assert 60 == TooManyBadKeysError("too many").retry_after_seconds
    assert 300 == UnavailableError("busy", retry_after_seconds=300).retry_after_seconds
