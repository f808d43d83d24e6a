"""`python -m chronoprof_sidecar` is `chronoprof`."""

import sys

from chronoprof_sidecar.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
