"""docs/http.md says what the OpenAPI description says."""

from tests.docs.http_reference import REFERENCE, render_reference


def test_the_reference_is_not_stale() -> None:
    """The page is what `make reference` writes now."""
    assert render_reference() == REFERENCE.read_text(encoding="utf-8"), "docs/http.md is stale: run `make reference`"
