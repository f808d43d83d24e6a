"""How much of what is only volume: little in the suite, all of it in `make test-hosts`."""

import os

FULL = os.environ.get("CHRONOPROF_TEST_SCALE") == "full"

FORKS = 1000 if FULL else 200
FROZEN_SECONDS = 30.0 if FULL else 4.0
