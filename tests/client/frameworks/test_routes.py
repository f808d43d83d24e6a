"""The rules of endpoint names."""

import pytest

from chronoprof_sidecar.client.routes import METHODS, endpoint_name, with_slash


@pytest.mark.parametrize("method", METHODS)
def test_known_methods_stand_as_they_are(method: str) -> None:
    """A name begins with the method."""
    assert f"{method} /a/{{b}}" == endpoint_name(method, "/a/{b}", 200)


@pytest.mark.parametrize("method", ["", "get", "PROPFIND", "\x00", "X" * 10_000])
def test_other_methods_are_one(method: str) -> None:
    """What a client invents as a method does not make names."""
    assert "_OTHER /a" == endpoint_name(method, "/a", 200)


@pytest.mark.parametrize(("template", "status"), [(None, 404), (None, 200), ("/a", 405)])
def test_what_no_route_takes_is_unmatched(template: str | None, status: int) -> None:
    """No route, or none for the method: one name per method."""
    assert "GET <unmatched>" == endpoint_name("GET", template, status)


@pytest.mark.parametrize(
    ("template", "expected"),
    [("/a", "/a"), ("a/<int:b>", "/a/<int:b>"), ("", "/"), ("^a/(?P<b>[0-9]+)$", "^a/(?P<b>[0-9]+)$")],
)
def test_templates_get_a_leading_slash(template: str, expected: str) -> None:
    """Every template begins with a slash, except for regular expressions, which stay as they are."""
    assert expected == with_slash(template)
