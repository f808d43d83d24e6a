"""What questions of rows have in common: whose calls, and of which span of the history."""

from typing import Final

from chronoprof_sidecar.domain.history import Span, covering
from chronoprof_sidecar.domain.table import Selection
from chronoprof_sidecar.errors import MalformedRequestError
from chronoprof_sidecar.protocol import MAX_NAME_LENGTH
from chronoprof_sidecar.server.query import Query, moment, text

SELECTION_PARAMETERS: Final = ("function_name", "match", "service", "version")
SPAN_PARAMETERS: Final = ("since", "until")


def read_selection(query: Query) -> Selection:
    """Return which rows are asked for."""
    return Selection(
        function_name=text(query, "function_name", MAX_NAME_LENGTH),
        match=text(query, "match", MAX_NAME_LENGTH),
        service=query.get("service"),
        version=query.get("version"),
    )


def read_span(query: Query, now_ns: int, default_since: str) -> Span:
    """Return the span from `since` to `until`, in whole minutes.

    Raises:
        MalformedRequestError: naming the parameter that makes no sense.
    """
    since_ns, until_ns = moment(query, "since", default_since, now_ns), moment(query, "until", "now", now_ns)
    if since_ns >= min(until_ns, now_ns):
        raise MalformedRequestError("since must be before until, and not in the future")
    # What arrives while this is answered belongs to it.
    return covering(since_ns, min(until_ns, now_ns + 1))
