"""The ways in which a candidate's call can end without a result."""

from __future__ import annotations

import traceback
from pathlib import Path

_TEST_FRAMEWORKS = ("_pytest", "pytest", "unittest", "hypothesis")
# What torch says on the CPU, and what the driver and cuBLAS say where torch's own allocator was not asked.
_WORDS_OF_ALLOCATORS = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
_PROPERTIES = Path(__file__).parents[1]
MOST_OF_TRACEBACK = 8_000  # characters

FAILED = "failed"  # it raised, or broke a rule that every call must keep
CHEATING = "cheating"  # it broke a rule that an honest kernel has no reason to break
CRASHED = "crashed"  # its process died
TIMEOUT = "timeout"  # it did not answer within the time limit; its process was killed
OUT_OF_MEMORY = "out of memory"  # by its own limit, or the system killed it: that says nothing about its numbers
CHANGED = "changed its input"  # a cheat where a gate asks, a failure elsewhere: see `as_judged`

ENDS = (FAILED, CHEATING, CRASHED, TIMEOUT, OUT_OF_MEMORY, CHANGED)


class CandidateEnded(Exception):
    """A candidate's call ended without a result to be judged. The message says what was expected and got.

    Attributes:
        status: the status of the record that it becomes, one of `ENDS`.
        traceback: the traceback of an error that the target raised, from the target's own frames on; else "".
        by_system: whether its process was killed or did not answer in time: it may answer when asked again.
    """

    def __init__(self, message: str, status: str = FAILED, traceback: str = "", by_system: bool = False) -> None:
        super().__init__(message)
        self.status, self.traceback, self.by_system = status, traceback, by_system


class Raised(CandidateEnded):
    """The target raised: it refuses the call, or fails in it."""


def cheating(message: str) -> CandidateEnded:
    """Return the end of a candidate that does what no honest kernel has a reason to do."""
    return CandidateEnded(message, CHEATING)


def judged(error: BaseException, expected: str) -> CandidateEnded:
    """Return the end that an error raised by a target stands for.

    Args:
        expected: what was expected instead of the error, "a result" or "gradients".
    """
    kind = type(error)
    message = f"expected {expected}, got {kind.__name__}: {error}"
    if any(base.__module__.split(".")[0] in _TEST_FRAMEWORKS for base in kind.__mro__):
        return cheating(f"{message} (of a test framework, to skip what judges it)")
    if is_lack_of_memory(error):
        return CandidateEnded(message, OUT_OF_MEMORY)
    return Raised(message, traceback=traceback_of(error))


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there is no memory left, of the machine or of a device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS_OF_ALLOCATORS)


def traceback_of(error: BaseException) -> str:
    """Return the traceback of an error from the target's own frames on; only the end, if it is long."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and _is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    printed = "".join(traceback.format_exception(type(error), error, frame))
    return printed if len(printed) <= MOST_OF_TRACEBACK else f"...{printed[-MOST_OF_TRACEBACK:]}"


def _is_ours(file: str) -> bool:
    """Return whether a file belongs to trueband.properties."""
    return Path(file).is_relative_to(_PROPERTIES)


def as_judged(status: str, gate: bool) -> str:
    """Return the status of a record: a kernel that changes its input may be careless, but is a cheat for a gate."""
    if status != CHANGED:
        return status
    return CHEATING if gate else FAILED
