"""The notation of `--instrument` and `--middleware`."""

import pytest

from chronoprof_sidecar.client.patterns import parse_app_path, parse_function_pattern, parse_list
from chronoprof_sidecar.errors import SettingsError


@pytest.mark.parametrize(
    ("pattern", "matched", "passed_over"),
    [
        ("shop:*", ["pay", "Repo.load", "Repo.Row.read"], ["_pay", "Repo._load", "_Repo.load", "Repo.__init__"]),
        ("shop:Repo.*", ["Repo.load", "Repo.Row.read"], ["pay", "Repository.load", "Repo.__init__", "Repo._load"]),
        ("shop:p?y", ["pay", "pry"], ["play", "Repo.pay"]),
        ("shop:[a-m]*", ["load"], ["pay"]),
        ("shop:[!p]*", ["load"], ["pay", "_load"]),
        ("shop:pay", ["pay"], ["Pay", "pay_all"]),
        ("shop:_*", ["_pay", "_Repo.load"], ["pay", "__getattr__"]),
        ("shop:Repo._*", ["Repo._load"], ["Repo.load", "Repo.__init__"]),
        ("shop:Repo.__*__", ["Repo.__init__"], ["Repo._load", "Repo.load"]),
        ("shop:Repo.__call__", ["Repo.__call__"], ["Repo.__init__"]),
    ],
)
def test_a_name_matches_as_in_a_shell(pattern: str, matched: list[str], passed_over: list[str]) -> None:
    """`*` crosses dots, case counts, and what begins with an underscore is meant only where the pattern says so."""
    parsed = parse_function_pattern(pattern)

    assert matched == [path for path in [*matched, *passed_over] if parsed.matches(path)]


@pytest.mark.parametrize(
    ("pattern", "wanted", "unwanted"),
    [
        ("shop:*", ["shop"], ["shop.db", "shopping"]),
        ("shop.*:*", ["shop.db", "shop.db.rows"], ["shop"]),
        ("shop.d?:*", ["shop.db"], ["shop.dbx"]),
    ],
)
def test_a_module_matches_as_in_a_shell(pattern: str, wanted: list[str], unwanted: list[str]) -> None:
    """The module is a glob, too."""
    parsed = parse_function_pattern(pattern)

    assert wanted == [module for module in [*wanted, *unwanted] if parsed.wants(module)]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("shop", "expected MODULE:NAME"),
        ("shop:", "expected MODULE:NAME"),
        (":pay", "expected MODULE:NAME"),
        ("shop:pay:all", "expected MODULE:NAME"),
        ("shop/db.py:pay", "expected MODULE:NAME"),
        ("shop..db:pay", "expected MODULE:NAME"),
        ("shop:Repo.", "expected MODULE:NAME"),
        ("shop:pay()", "expected MODULE:NAME"),
        ("*:*", "must begin with the name of a package"),
        ("sh*.db:*", "must begin with the name of a package"),
        ("__main__:*", "cannot be reached"),
        ("chronoprof_sidecar.client:*", "does not time itself"),
    ],
)
def test_a_malformed_pattern_is_refused_by_name(pattern: str, reason: str) -> None:
    """The message names the pattern, and what is wrong with it."""
    with pytest.raises(SettingsError) as refused:
        parse_function_pattern(pattern)

    assert str(refused.value).startswith(f"instrument {pattern!r}: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("text", "attribute", "is_call"),
    [("shop:app", "app", False), ("shop.web:site.app", "site.app", False), ("shop:create_app()", "create_app", True)],
)
def test_an_app_is_an_attribute_or_a_call(text: str, attribute: str, is_call: bool) -> None:
    """App servers write it so, too."""
    parsed = parse_app_path(text)

    assert (attribute, is_call) == (parsed.attribute, parsed.is_call)


@pytest.mark.parametrize(
    "text", ["shop", "shop:", "shop:*", "sh*p:app", "shop:create_app('x')", "__main__:app", "a b:c"]
)
def test_a_malformed_app_is_refused_by_name(text: str) -> None:
    """The message names what was given."""
    with pytest.raises(SettingsError, match="middleware") as refused:
        parse_app_path(text)

    assert repr(text) in str(refused.value)


def test_a_variable_lists_several() -> None:
    """Blanks and empty items in between mean nothing; no variable means nothing asked for."""
    environ = {"LIST": " shop:pay , ,shop.db:* ,"}

    assert ["shop:pay", "shop.db:*"] == [found.text for found in parse_list(environ, "LIST", parse_function_pattern)]
    assert [] == parse_list({}, "LIST", parse_function_pattern)
