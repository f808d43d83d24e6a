from tests.proof import proof, pytest_terminal_summary

__all__ = ["proof", "pytest_terminal_summary"]
