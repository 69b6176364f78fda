"""The end of processes: none outlives the one that has started it, however that ends."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def with_parent() -> None:
    """Has the system kill this process when its parent is gone; for `preexec_fn`. Linux only, elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
