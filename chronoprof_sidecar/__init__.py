"""chronoprof-sidecar: call timings of every worker of a Python service, merged exactly, in one place."""

__version__ = "0.1.0"
