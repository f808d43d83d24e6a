"""Bytes to batches, reports to bytes: the only owner of the JSON formats."""
