import pytest

from chronoprof_sidecar.domain.hints import suggest_templates, template_of


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("GET /users/17", "GET /users/{…}"),
        ("GET /users/17/orders/9?page=3", "GET /users/{…}/orders/{…}?page={…}"),
        ("GET /files/5f1c9a0de4b2477f8a11c3d5e6f70819", "GET /files/{…}"),
        ("GET /files/deadbeef-cafe-babe-face-feeddeadbeef", "GET /files/{…}"),
        ("GET /api/v1/users/17", "GET /api/v1/users/{…}"),
        ("GET /items/{item_id}", "GET /items/{item_id}"),
        ("shop.cart.checkout", "shop.cart.checkout"),
        ("GET /", "GET /"),
        ("", ""),
    ],
)
def test_values_become_placeholders(name: str, template: str) -> None:
    """Parts with digits and long hexadecimal ids are values; words, versions and templates are not."""
    assert template == template_of(name)


def test_what_many_names_share_is_suggested_most_first() -> None:
    """Only a template with a placeholder that at least two names share is a hint, and only so many are given."""
    names = [f"GET /users/{n}" for n in range(5)] + [f"GET /carts/{n}" for n in range(7)]
    names += ["GET /orders/1", "GET /", "job", "GET /tags/1", "GET /tags/2", "GET /teams/1", "GET /teams/2"]
    assert [("GET /carts/{…}", 7), ("GET /users/{…}", 5)] == suggest_templates(names, most=2)
    assert 3 == len(suggest_templates(names))
    assert [] == suggest_templates(["GET /orders/1", "job", "job"])
