"""What importing a middleware pulls in."""

import subprocess
import sys

import pytest

MODULES = ["aiohttp", "asgi", "celery", "django", "falcon", "flask", "pyramid", "wsgi"]


@pytest.mark.parametrize("module", MODULES)
def test_a_middleware_imports_without_its_framework(module: str) -> None:
    """Without any site-packages each module imports, and has a `ProfilingMiddleware`."""
    code = f"from chronoprof_sidecar.client.{module} import ProfilingMiddleware as it; print(it.__name__)"
    python = [sys.executable, "-S", "-W", "error", "-c", code]
    assert "ProfilingMiddleware" == subprocess.run(python, check=True, capture_output=True, text=True).stdout.strip()
