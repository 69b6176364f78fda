"""`python -m trueband`."""

import sys

from trueband.cli import main

if __name__ == "__main__":
    sys.exit(main())
