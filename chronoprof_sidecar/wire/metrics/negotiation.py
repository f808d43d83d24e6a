"""Which form of the families an `Accept` header asks for."""

from collections.abc import Iterable
from typing import Final

from chronoprof_sidecar.wire.metrics.families import Family
from chronoprof_sidecar.wire.metrics.protobuf import CONTENT_TYPE, render_protobuf
from chronoprof_sidecar.wire.metrics.text import render_text

_PROTOBUF: Final = "application/vnd.google.protobuf"
_TEXTS: Final = frozenset({"application/openmetrics-text", "text/plain", "text/*", "*/*"})


def render_families(families: Iterable[Family], accept: str) -> tuple[bytes, str]:
    """Return the exposition and its content type: protobuf where that is asked for first, else text."""
    if _wants_protobuf(accept):
        return render_protobuf(families), CONTENT_TYPE
    return render_text(families, accept)


def _wants_protobuf(accept: str) -> bool:
    """Say whether protobuf comes before every text that there is, by weight and then by order."""
    offers = [_offer(each) for each in accept.split(",")]
    known = [(weight, name) for weight, name in offers if name == _PROTOBUF or name in _TEXTS]
    best = max((weight for weight, _ in known), default=0.0)
    return best > 0 and next(name for weight, name in known if weight == best) == _PROTOBUF


def _offer(text: str) -> tuple[float, str]:
    """Return weight and media type of one part of an `Accept` header; a weight that is no number counts as none."""
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:]), name
            except ValueError:
                return 0.0, name
    return 1.0, name
