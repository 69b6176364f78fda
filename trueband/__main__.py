"""`python -m trueband`."""

import sys

from trueband.cli import main

if __name__ == "__main__":
    code = main()
    # Where a Ctrl-C has come up through an exec() of a library, `python -m` ends by SIGINT whatever the exit code is,
    # although it was caught; unless a later exec() has ended well.
    exec("")
    sys.exit(code)
