"""Memory of this process, in bytes: what it holds now, and the most it has held since the last `forget_peak`."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak() -> int:
    """Give freed memory back to the system and start a new peak; returns what the process holds now."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc
    with suppress(OSError):
        _CLEAR.write_text("5")
    return _kilobytes("VmRSS") * 1024 if _STATUS.exists() else peak()


def peak() -> int:
    """The most. Where the system cannot start a new peak, that of the whole life of the process."""
    if _STATUS.exists():
        return _kilobytes("VmHWM") * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def available() -> int | None:
    """The free memory of the machine in bytes, or None where it is unknown."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return None


def limit(most: int) -> None:
    """No more data than this over what there is: what asks for more gets an error, and the machine stays whole."""
    if _STATUS.exists():
        most += _kilobytes("VmData") * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _kilobytes(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
