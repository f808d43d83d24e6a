"""How an endpoint is named: `METHOD /route/{template}`.

Pure rules that every middleware shares. A name is made of a known method and of what the application's own code says
a route looks like, never of anything that a client sent, so that there are as many names as routes. Knows no framework
and no clock.
"""

from typing import Final

from chronoprof_sidecar.protocol import UNMATCHED

OTHER_METHOD: Final = "_OTHER"
"""Stands for every method that is not a known one: clients may send any token as a method."""

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE")
"""The methods of RFC 9110 and RFC 5789."""

_PREFIXES: Final = {method: f"{method} " for method in METHODS}
_OTHER_PREFIX: Final = f"{OTHER_METHOD} "
_METHOD_NOT_ALLOWED: Final = 405


def endpoint_name(method: str, template: str | None, status: int) -> str:
    """Return the function name of one request.

    `template` is the matched route as the framework writes it, `with_slash`, or None where no route matched. A
    405 counts as unmatched: frameworks disagree whether a route whose method does not fit has matched, names may not.
    """
    prefix = _PREFIXES.get(method, _OTHER_PREFIX)
    if template is None or status == _METHOD_NOT_ALLOWED:
        return prefix + UNMATCHED
    return prefix + template


def with_slash(template: str) -> str:
    """Return a template as it stands in a name: with a leading slash, unless it is a regular expression from `^` on."""
    return template if template[:1] in {"/", "^"} else f"/{template}"
