"""Query strings: what is not known, said twice or not understood is refused by name, never ignored."""

from collections.abc import Collection, Mapping
from typing import Final

from aiohttp import web

from chronoprof_sidecar.domain.spans import parse_length, parse_moment
from chronoprof_sidecar.errors import MalformedRequestError

Query = Mapping[str, str]

NO_PARAMETERS: Final[Collection[str]] = ()
_SHOWN_LENGTH: Final = 64
_MAX_DIGITS: Final = 18


def read_query(request: web.Request, known: Collection[str] = NO_PARAMETERS) -> Query:
    """Return the query parameters of `request`, each at most once and all of them `known`.

    Raises:
        MalformedRequestError: naming the parameter that is not.
    """
    if not request.query_string:
        return {}
    query: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known:
            raise MalformedRequestError(f"unknown query parameter {_shown(name)}; {_offer(known)}")
        if name in query:
            raise MalformedRequestError(f"query parameter {name} is given more than once")
        query[name] = value
    return query


def whole_number(query: Query, name: str) -> int | None:
    """Return a parameter as a whole number from 0; None when it is not given."""
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
        raise MalformedRequestError(f"{name} must be a whole number, not {_shown(text)}")
    return int(text)


def choice(query: Query, name: str, options: Collection[str], default: str) -> str:
    """Return a parameter that is one of `options`."""
    text = query.get(name, default)
    if text not in options:
        raise MalformedRequestError(f"{name} must be one of {', '.join(options)}, not {_shown(text)}")
    return text


def flag(query: Query, name: str, *, default: bool) -> bool:
    """Return a parameter that is `true` or `false`."""
    return choice(query, name, ("true", "false"), "true" if default else "false") == "true"


def text(query: Query, name: str, max_length: int) -> str | None:
    """Return a parameter that may not be empty nor too long to match anything; None when it is not given."""
    value = query.get(name)
    if value is not None and not 1 <= len(value) <= max_length:
        raise MalformedRequestError(f"{name} must have 1 to {max_length} characters")
    return value


def moment(query: Query, name: str, default: str, now_ns: int) -> int:
    """Return a parameter that says when, in nanoseconds of Unix time."""
    try:
        return parse_moment(query.get(name, default), now_ns)
    except MalformedRequestError as error:
        raise MalformedRequestError(f"{name} is {error}") from error


def length_of_time(query: Query, name: str) -> int | None:
    """Return a parameter that says how long, in seconds from 1; None when it is not given."""
    value = query.get(name)
    if value is None:
        return None
    try:
        seconds = parse_length(value)
    except MalformedRequestError as error:
        raise MalformedRequestError(f"{name} is {error}") from error
    if not seconds:
        raise MalformedRequestError(f"{name} must be longer than nothing")
    return seconds


def _shown(value: str) -> str:
    return ascii(value[:_SHOWN_LENGTH])


def _offer(known: Collection[str]) -> str:
    return f"this route takes {', '.join(known)}" if known else "this route takes none"
