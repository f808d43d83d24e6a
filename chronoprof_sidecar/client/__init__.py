"""The shim that an app imports: `from chronoprof_sidecar.client import profiler`. Stdlib only, no I/O on the hot path.

`profiler` is the default one, configured by the environment at its first use.
"""

from typing import Final

from chronoprof_sidecar.client.profiler import Profiler
from chronoprof_sidecar.client.stats import Stats

__all__ = ["Profiler", "Stats", "profiler"]

profiler: Final = Profiler()
