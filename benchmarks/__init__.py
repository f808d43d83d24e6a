"""Measurements of ours and of the peers, run by `make bench`; a file named `bench_*.py` is one that runs by itself.

Nothing here is asserted in tests: machines differ, so what counts are ratios from one run on one machine.
"""
