"""Whether the loops over buckets are compiled: a program that says so, and a plugin of pytest that insists on it."""

from pathlib import Path
from typing import Final

from chronoprof_sidecar.domain import histogram, statistics
from chronoprof_sidecar.wire import judging

SHOW_FILES: Final = """
from chronoprof_sidecar.domain import histogram, statistics
from chronoprof_sidecar.wire import judging
print(histogram.__file__, statistics.__file__, judging.__file__)
"""


def pytest_configure() -> None:
    """Refuse to run on the sources."""
    assert {".so"} == {Path(str(module.__file__)).suffix for module in (histogram, statistics, judging)}
