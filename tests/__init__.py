"""A package, so that tests can import what they share under one name for pytest and mypy."""
