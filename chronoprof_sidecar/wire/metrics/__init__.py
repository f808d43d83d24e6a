"""What `/metrics` says, in the forms that Prometheus reads: `families` has the figures, the others make bytes of it."""

from chronoprof_sidecar.wire.metrics.families import Family, Status, describe
from chronoprof_sidecar.wire.metrics.negotiation import render_families

__all__ = ["Family", "Status", "describe", "render_families"]
