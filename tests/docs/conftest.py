from tests.process.conftest import sidecar

__all__ = ["sidecar"]
